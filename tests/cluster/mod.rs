//! Several nodes, and what clients see of them.

mod balancer;
mod chaos;
mod checker;
mod dashboard;
mod fleet;
mod load;
mod netns;
mod nodes;
mod operators;
mod reshard;
mod script;
mod several;
mod shared;
mod steady;
