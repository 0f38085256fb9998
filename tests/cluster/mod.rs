//! Several nodes, and what clients see of them.

mod balancer;
mod chaos;
mod checker;
#[cfg(test)]
mod checker_tests;
mod dashboard;
mod figures;
mod fleet;
mod load;
mod netns;
mod nodes;
mod operators;
mod ownerless;
mod reshard;
mod script;
mod several;
mod shared;
mod steady;
