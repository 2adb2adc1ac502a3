//! `mailmill check`
