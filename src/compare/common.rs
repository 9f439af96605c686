//! What two texts begin and end with in common.

/// Bytes that are compared at once.
const BLOCK: usize = 32;

/// Returns how many bytes both begin with in common.
pub(super) fn common_len(one: &[u8], other: &[u8]) -> usize {
    let ((one_blocks, _), (other_blocks, _)) = (one.as_chunks::<BLOCK>(), other.as_chunks::<BLOCK>());
    let same = BLOCK * one_blocks.iter().zip(other_blocks).take_while(|(a, b)| a == b).count();
    let (a, b) = (one.get(same..).unwrap_or_default(), other.get(same..).unwrap_or_default());
    same + a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Returns how many bytes both end with in common.
pub(super) fn common_end(one: &[u8], other: &[u8]) -> usize {
    let ((_, one_blocks), (_, other_blocks)) = (one.as_rchunks::<BLOCK>(), other.as_rchunks::<BLOCK>());
    let same = BLOCK * one_blocks.iter().rev().zip(other_blocks.iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (one.get(..one.len() - same), other.get(..other.len() - same));
    let (a, b) = (a.unwrap_or_default().iter().rev(), b.unwrap_or_default().iter().rev());
    same + a.zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_up_to_the_first_that_differs_are_common() {
        for len in 0..100 {
            let one = vec![b'a'; len];
            for at in 0..len {
                let mut other = one.clone();
                other[at] = b'b';
                assert_eq!((common_len(&one, &other), common_end(&one, &other)), (at, len - at - 1));
                assert_eq!((common_len(&one, &one[at..]), common_end(&one[at..], &one)), (len - at, len - at));
            }
            assert_eq!((common_len(&one, &one), common_end(&one, &one)), (len, len));
        }
    }
}
