//! Several nodes, and what clients see of them.

mod balancer;
mod checker;
mod load;
mod netns;
mod nodes;
mod operators;
mod script;
mod steady;
