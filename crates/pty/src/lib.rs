//! Runs a program in a terminal that nobody sits at, reads its screen and types for it.
//!
//! [`Terminal`] is that terminal. [`Console`] is the opposite: the terminal that this process sits in, taken over key by key.
//! The demo puts two of these side by side; the tests answer real prompts through them. There is no other way to answer a
//! prompt: no program of this tree has a switch that approves without a person at a terminal or a page.

mod console;
mod screen;
mod terminal;

pub use console::Console;
pub use screen::Screen;
pub use terminal::{Changed, Key, Size, Terminal, TerminalError};
