//! Tests of all languages together.
