//! What both programs need: data, the programs that push it, and a look at what they take.

pub mod data;
pub mod measure;
pub mod programs;
