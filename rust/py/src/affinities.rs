//! The processors of a session's threads, as the setting `session.intra_op_thread_affinities` tells them.

/// The name of the setting.
pub(crate) const AFFINITIES: &str = "session.intra_op_thread_affinities";

/// The processors, counted from 0, of each of `threads` threads but the first: lists of numbers from 1, or ranges, one thread from the
/// other by semicolons.
///
/// # Errors
/// What is wrong, when the text says something else, or speaks of another number of threads; 0 threads are any number.
pub(crate) fn read(text: &str, threads: i32) -> Result<Vec<Vec<usize>>, String> {
    if text.is_empty() {
        return Err("Affinity string must not be empty".to_owned());
    }
    let given: Vec<Vec<usize>> = text.split(';').filter(|of_thread| !of_thread.is_empty()).map(processors).collect::<Result<_, _>>()?;
    let threads = usize::try_from(threads).unwrap_or(0);
    if threads > 0 && given.len() + 1 != threads {
        return Err(format!(
            "Number of affinities does not equal to thread_pool_size minus one, affinities: {}, thread_pool_size: {threads}",
            given.len()
        ));
    }
    Ok(given)
}

/// More processors than a machine has: a range is no reason to fill the memory.
const MOST: usize = 1 << 16;

/// The processors of one thread.
fn processors(text: &str) -> Result<Vec<usize>, String> {
    let Some((from, to)) = text.split_once('-') else { return text.split(',').map(processor).collect() };
    let (from, to) = (processor(from)?, processor(to)?);
    if from > to || to - from > MOST {
        return Err(format!("Invalid processor interval: {text}"));
    }
    Ok((from..=to).collect())
}

/// The place of a processor from 0 on; in the text they are counted from 1.
fn processor(text: &str) -> Result<usize, String> {
    match text.parse::<u32>() {
        Ok(0) => Err("Processor id must start from 1: 0".to_owned()),
        Ok(number) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(number as usize - 1),
        _ => Err(format!("Processor id must consist of only digits: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges() {
        assert_eq!(read("1,3;2-4", 3), Ok(vec![vec![0, 2], vec![1, 2, 3]]));
        assert_eq!(read("2", 0), Ok(vec![vec![1]]));
        for text in ["", "0", "a", "3-1", "1-4294967295", "+1"] {
            assert!(read(text, 2).is_err(), "{text}");
        }
        assert!(read("1;2", 2).is_err());
    }
}
