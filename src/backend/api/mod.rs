//! The wire API.
