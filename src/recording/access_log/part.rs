//! The parts that a line is made of, and how the end of one is found.

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(Box<[u8]>),
    /// A field, by its number.
    Field(usize),
    /// A field in braces, or nothing at all: headers that HAProxy captures.
    Braces(usize),
}

/// Where a text comes first, of which the first byte is given apart.
#[inline]
pub(super) fn find(rest: &[u8], first: u8, behind: &[u8]) -> Option<usize> {
    let mut end = find_byte(rest, first)?;
    // To compare with nothing costs more than one would think: its address is none.
    while !behind.is_empty() && !rest.get(end + 1..)?.starts_with(behind) {
        end += 1 + find_byte(rest.get(end + 1..)?, first)?;
    }
    Some(end)
}

/// Where a byte comes first. Most fields are shorter than what a search by larger words takes to begin.
#[inline]
fn find_byte(rest: &[u8], wanted: u8) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES * 0x80;
    let Some(eight) = rest.first_chunk() else { return rest.iter().position(|byte| *byte == wanted) };
    let other = u64::from_le_bytes(*eight) ^ (ONES * u64::from(wanted));
    // The lowest bit that is set is exact: what borrows stands above it.
    let found = other.wrapping_sub(ONES) & !other & HIGH;
    if found == 0 {
        return memchr::memchr(wanted, rest.get(8..)?).map(|at| at + 8);
    }
    Some(found.trailing_zeros() as usize / 8)
}
