//! How operators treat blocked channels.

use base::Layout;

use crate::Fact;

/// How an operator treats blocked channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layouts {
    /// It takes and gives dense tensors only.
    Plain,
    /// It takes any layout that its tensor inputs of the same shape share, and gives the same. Inputs of one element may be dense.
    Follows,
    /// It takes input 0 (and inputs after the second that have the shape of output 0) blocked and gives output 0 blocked.
    Blocked,
}

impl Layouts {
    /// States in `outputs` the layout that they have because of the layout of `inputs`. What an operator says itself stays.
    pub fn carry(self, inputs: &[Option<&Fact>], outputs: &mut [Fact]) {
        let blocked = |f: &&Fact| matches!(f.layout, Layout::Blocked(_));
        let given = inputs.iter().flatten().copied();
        let (Some(output), Some(source)) = (
            outputs.first_mut(),
            match self {
                Self::Plain => None,
                Self::Follows => given.into_iter().find(blocked),
                Self::Blocked => inputs.first().copied().flatten().filter(blocked),
            },
        ) else {
            return;
        };
        if output.layout == Layout::Dense {
            output.layout = source.layout.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dim;
    use base::DType;

    #[test]
    fn only_those_that_take_blocks_give_them() {
        let plain = Fact::tensor(DType::F32, [1, 16, 3, 3].map(Dim::Known));
        let blocked = Fact { layout: Layout::Blocked(8), ..plain.clone() };
        let given = |layouts: Layouts, inputs: &[&Fact]| {
            let mut outputs = [plain.clone()];
            layouts.carry(&inputs.iter().copied().map(Some).collect::<Vec<_>>(), &mut outputs);
            outputs[0].layout.clone()
        };
        assert_eq!(given(Layouts::Plain, &[&blocked]), Layout::Dense);
        assert_eq!(given(Layouts::Follows, &[&plain, &blocked]), Layout::Blocked(8));
        assert_eq!(given(Layouts::Blocked, &[&plain, &blocked]), Layout::Dense);
        assert_eq!(given(Layouts::Blocked, &[&blocked, &plain]), Layout::Blocked(8));
    }
}
