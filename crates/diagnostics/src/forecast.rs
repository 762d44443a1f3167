//! What will happen if things go on as they do: trends, shifts, and how sure one can be of them.
//!
//! Nothing here reads a clock or a file, and no input makes it panic.
