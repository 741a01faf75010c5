//! In which order the blocks of NoProp-DT are trained.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// The order; every block sees every training image once an epoch, at random order on average.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockOrder {
    /// Algorithm 1: for each epoch, for t = 1 … T, a pass over the data for block t.
    #[default]
    Paper,
    /// T passes an epoch, and a random block for each step.
    Random,
    /// One pass an epoch; every step trains all blocks on the same images.
    Parallel,
}

impl BlockOrder {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Paper, "paper"),
        (Self::Random, "random"),
        (Self::Parallel, "parallel"),
    ];
}

impl fmt::Display for BlockOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(order, _)| order == self);
        f.pad(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for BlockOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|(_, name)| *name == text);
        found.map(|(order, _)| order).ok_or_else(|| {
            format!("no order is called {text:?}, expected paper, random or parallel")
        })
    }
}
