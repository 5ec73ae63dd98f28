//! Which instruction sets the machine has, and which one is used.

use std::sync::OnceLock;

/// An instruction set that kernels are written for, in ascending order of width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust on arrays of eight lanes: runs everywhere.
    Portable,
    /// AVX2 with FMA and F16C: eight lanes.
    Avx2,
    /// AVX-512 F, BW, DQ and VL: sixteen lanes.
    Avx512,
}

/// The environment variable that caps the instruction set: `portable` (also `scalar`), `avx2` or `avx512`.
pub const KNOB: &str = "ORT_RS_ISA";

impl Isa {
    /// Every instruction set, narrowest first.
    pub const ALL: [Isa; 3] = [Isa::Portable, Isa::Avx2, Isa::Avx512];

    /// The name as [`KNOB`] takes it.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        }
    }

    /// The instruction set of that name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("scalar") {
            return Some(Self::Portable);
        }
        Self::ALL.into_iter().find(|i| i.name().eq_ignore_ascii_case(name))
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => crate::Avx2Token::new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => crate::Avx512Token::new().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }
}

/// The instruction sets that this machine can run, narrowest first, whatever [`KNOB`] says.
pub fn available() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|i| i.is_available())
}

/// The widest instruction set that the machine has and [`KNOB`] allows; decided once in the life of the process.
pub fn best() -> Isa {
    static BEST: OnceLock<Isa> = OnceLock::new();
    *BEST.get_or_init(|| choose(std::env::var(KNOB).ok().as_deref()))
}

/// The widest available instruction set at or below `cap`; an unknown name caps nothing.
fn choose(cap: Option<&str>) -> Isa {
    let cap = cap.and_then(Isa::from_name).unwrap_or(Isa::Avx512);
    available().filter(|&i| i <= cap).last().unwrap_or(Isa::Portable)
}

/// Whether the machine has the AVX-512 dot products of 8-bit integers.
pub fn has_vnni() -> bool {
    #[cfg(target_arch = "x86_64")]
    return Isa::Avx512.is_available() && is_x86_feature_detected!("avx512vnni");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for i in Isa::ALL {
            assert_eq!(Isa::from_name(i.name()), Some(i));
        }
        assert_eq!(Isa::from_name("AVX2"), Some(Isa::Avx2));
        assert_eq!(Isa::from_name("scalar"), Some(Isa::Portable));
        assert_eq!(Isa::from_name("mmx"), None);
    }

    #[test]
    fn a_cap_is_kept() {
        assert_eq!(choose(Some("portable")), Isa::Portable);
        assert!(choose(Some("avx2")) <= Isa::Avx2);
        assert_eq!(choose(Some("mmx")), choose(None));
        assert_eq!(available().next(), Some(Isa::Portable));
        assert!(available().any(|i| i == best()));
    }
}
