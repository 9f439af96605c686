//! What was typed, the files and the defaults become one validated configuration; every mistake is told at once.
