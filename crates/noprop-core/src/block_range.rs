//! A range of neighbouring blocks of a NoProp-DT model, written as in "1-5".

use core::fmt;
use core::ops::Range;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// The blocks `first` to `last`, both included, counted from 1 as in the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlockRange {
    first: usize,
    last: usize,
}

impl BlockRange {
    /// All blocks of a model that has `count` blocks, at least one.
    pub fn all(count: usize) -> Self {
        Self {
            first: 1,
            last: count,
        }
    }

    /// The first block of the range, counted from 1.
    pub fn first(&self) -> usize {
        self.first
    }

    /// The last block of the range, counted from 1.
    pub fn last(&self) -> usize {
        self.last
    }

    /// The indices of the blocks in a list of all blocks, counted from 0.
    pub fn indices(&self) -> Range<usize> {
        self.first - 1..self.last
    }
}

impl fmt::Display for BlockRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl From<BlockRange> for String {
    fn from(range: BlockRange) -> Self {
        range.to_string()
    }
}

impl FromStr for BlockRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if 1 <= first && first <= last => Ok(Self { first, last }),
            _ => Err(format!(
                "{text:?} is no range of blocks, expected a form such as 1-5 or 3, counted from 1"
            )),
        }
    }
}

impl TryFrom<String> for BlockRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written() {
        let range: BlockRange = "6-10".parse().unwrap();
        assert_eq!(
            (range.indices(), range.to_string().as_str()),
            (5..10, "6-10")
        );
        assert_eq!("3".parse::<BlockRange>().unwrap().indices(), 2..3);
        assert_eq!(BlockRange::all(10), "1-10".parse().unwrap());
        for text in ["", "0-3", "5-4", "a-b", "1-2-3", "-2"] {
            assert!(text.parse::<BlockRange>().is_err(), "{text}");
        }
        let json = serde_json::to_string(&range).unwrap();
        assert_eq!(json, "\"6-10\"");
        assert_eq!(serde_json::from_str::<BlockRange>(&json).unwrap(), range);
    }
}
