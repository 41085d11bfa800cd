//! Rules of the mirror and of what is written.
