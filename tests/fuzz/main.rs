//! Parsers of bytes that users, clients, servers and disks give: no panic, no hang, bounded memory, and what is taken means
//! one thing. Cases are in `tests/corpus`, one folder a parser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agree;
mod engine;
mod live;
mod parsers;
mod s3;

#[global_allocator]
static MEMORY: engine::Counting = engine::Counting;
