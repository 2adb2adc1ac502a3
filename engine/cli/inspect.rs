//! `mailmill inspect`
