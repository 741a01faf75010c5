//! The numbers of the paper (arXiv:2503.24322v1): Table 1, and the epochs of Table 3.

use core::fmt;

use clap::ValueEnum;

use crate::embedding::Embedding;

/// A method of Table 1 for which there is a recipe, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PaperMethod {
    /// Back-propagation through the blocks of NoProp-DT.
    Backprop,
    /// NoProp-DT: discrete time.
    Dt,
    /// A neural ODE trained by adjoint sensitivity.
    Adjoint,
    /// NoProp-CT: continuous time.
    Ct,
    /// NoProp-FM: flow matching.
    Fm,
}

impl PaperMethod {
    /// Name of the recipe with the paper's settings.
    pub fn recipe(self) -> &'static str {
        match self {
            Self::Backprop => "paper-backprop",
            Self::Dt => "paper-dt",
            Self::Adjoint => "paper-adjoint",
            Self::Ct => "paper-ct",
            Self::Fm => "paper-fm",
        }
    }

    /// The number of epochs of training (Table 3).
    pub fn epochs(self, dataset: &str) -> usize {
        match (self, dataset) {
            (Self::Adjoint, "mnist") => 2,
            (Self::Adjoint, _) => 4,
            (_, "mnist") => 100,
            (Self::Backprop | Self::Dt, _) => 150,
            (Self::Ct | Self::Fm, "cifar10") => 500,
            (Self::Ct | Self::Fm, _) => 1000,
        }
    }
}

impl fmt::Display for PaperMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Backprop => "Backprop",
            Self::Dt => "NoProp-DT",
            Self::Adjoint => "Adjoint",
            Self::Ct => "NoProp-CT",
            Self::Fm => "NoProp-FM",
        })
    }
}

/// Accuracies in percent, each a mean with its standard error over 3 trainings × 5 evaluations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    /// The accuracy on the training images.
    pub train: (f64, f64),
    /// The accuracy on the test images.
    pub test: (f64, f64),
}

/// A row of Table 1, with the accuracies on MNIST, CIFAR-10 and CIFAR-100.
type Row = (PaperMethod, Embedding, [[(f64, f64); 2]; 3]);

const DIM_20: Embedding = Embedding::Learned(20);

const TABLE_1: [Row; 13] = [
    (
        PaperMethod::Backprop,
        Embedding::OneHot,
        [
            [(100.0, 0.0), (99.46, 0.06)],
            [(99.98, 0.01), (79.92, 0.14)],
            [(98.63, 1.34), (45.85, 2.07)],
        ],
    ),
    (
        PaperMethod::Backprop,
        DIM_20,
        [
            [(99.99, 0.0), (99.43, 0.03)],
            [(99.96, 0.02), (79.3, 0.52)],
            [(94.28, 7.43), (46.57, 0.87)],
        ],
    ),
    (
        PaperMethod::Backprop,
        Embedding::Prototype,
        [
            [(99.99, 0.01), (99.44, 0.05)],
            [(99.97, 0.01), (79.58, 0.44)],
            [(99.19, 0.71), (47.8, 0.19)],
        ],
    ),
    (
        PaperMethod::Dt,
        Embedding::OneHot,
        [
            [(99.92, 0.01), (99.47, 0.05)],
            [(95.02, 0.19), (79.25, 0.28)],
            [(84.97, 0.67), (45.93, 0.46)],
        ],
    ),
    (
        PaperMethod::Dt,
        DIM_20,
        [
            [(99.93, 0.01), (99.49, 0.04)],
            [(94.95, 0.09), (79.12, 0.37)],
            [(83.25, 0.39), (45.19, 0.22)],
        ],
    ),
    (
        PaperMethod::Dt,
        Embedding::Prototype,
        [
            [(99.97, 0.0), (99.54, 0.04)],
            [(97.23, 0.11), (80.54, 0.2)],
            [(90.7, 0.14), (46.06, 0.25)],
        ],
    ),
    (
        PaperMethod::Adjoint,
        Embedding::OneHot,
        [
            [(98.7, 0.13), (98.62, 0.14)],
            [(70.64, 0.49), (66.78, 0.76)],
            [(26.72, 0.81), (25.03, 0.7)],
        ],
    ),
    (
        PaperMethod::Ct,
        Embedding::OneHot,
        [
            [(97.88, 0.61), (97.84, 0.71)],
            [(97.31, 0.84), (73.35, 0.55)],
            [(75.1, 3.43), (33.66, 0.5)],
        ],
    ),
    (
        PaperMethod::Ct,
        DIM_20,
        [
            [(97.7, 0.42), (97.7, 0.51)],
            [(94.88, 3.08), (71.77, 2.47)],
            [(74.22, 2.33), (33.99, 1.08)],
        ],
    ),
    (
        PaperMethod::Ct,
        Embedding::Prototype,
        [
            [(97.18, 1.02), (97.17, 0.94)],
            [(86.2, 7.34), (66.54, 3.63)],
            [(40.88, 10.72), (21.31, 4.17)],
        ],
    ),
    (
        PaperMethod::Fm,
        Embedding::OneHot,
        [
            [(99.97, 0.0), (99.21, 0.09)],
            [(98.46, 0.4), (73.14, 0.9)],
            [(12.69, 10.4), (6.38, 4.9)],
        ],
    ),
    (
        PaperMethod::Fm,
        DIM_20,
        [
            [(99.99, 0.0), (99.29, 0.05)],
            [(99.49, 0.15), (73.5, 0.28)],
            [(83.49, 4.62), (31.14, 0.52)],
        ],
    ),
    (
        PaperMethod::Fm,
        Embedding::Prototype,
        [
            [(99.27, 0.09), (98.52, 0.16)],
            [(99.8, 0.03), (75.18, 0.57)],
            [(96.37, 1.09), (37.57, 0.32)],
        ],
    ),
];

/// The rows of Table 1 with the paper's numbers for `dataset`; `None` for a dataset that is not in the table.
pub fn rows(dataset: &str) -> Option<Vec<(PaperMethod, Embedding, Published)>> {
    let column = match dataset {
        "mnist" => 0,
        "cifar10" => 1,
        "cifar100" => 2,
        _ => return None,
    };
    let row = |&(method, embedding, numbers): &Row| {
        let [train, test] = numbers[column];
        (method, embedding, Published { train, test })
    };
    Some(TABLE_1.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dataset_of_the_paper_has_all_rows() {
        let cifar10 = rows("cifar10").unwrap();
        let found = cifar10
            .iter()
            .find(|row| (row.0, row.1) == (PaperMethod::Fm, Embedding::Prototype));
        assert_eq!(found.unwrap().2.test, (75.18, 0.57));
        for method in PaperMethod::value_variants() {
            assert!(cifar10.iter().any(|row| row.0 == *method), "{method}");
        }
        assert!(rows("fashion-mnist").is_none());
    }
}
