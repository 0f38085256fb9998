//! Several nodes, and what clients see of them.

mod checker;
