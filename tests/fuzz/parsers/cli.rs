//! Flags of the command line.

use clap::Parser as _;
use loopback_operator::cli::Cli;

use super::shape;
use crate::engine::Fuzz;

const WORDS: &[&str] = &[
    "\n",
    "backend\n",
    "operator\n",
    "dev\n",
    "crds\n",
    "token\n",
    "domain\n",
    "--api-listen\n",
    "--state-dir\n",
    "--address-pool\n",
    "--ipv6-address\n",
    "--dns-listen\n",
    "--dns-name-servers\n",
    "--s3-listen\n",
    "--s3-url\n",
    "--stop-drain\n",
    "--log\n",
    "--log-format\n",
    "--namespaces\n",
    "--backend-url\n",
    "--workers\n",
    "--lease-duration\n",
    "--url\n",
    "127.0.0.1:0",
    "[::1]:0",
    "10.0.0.0/8",
    "0.0.0.0/0",
    ",",
    "=",
    "--",
    "info",
    "json",
    "ns.example.dev",
    "1500ms",
    "http://",
    "add\n",
    "create\n",
    "list\n",
];

#[test]
fn flags() {
    Fuzz { name: "flags", words: WORDS, inputs: 1_500, memory: 8 << 20 }.run(|input| {
        let Ok(text) = std::str::from_utf8(input) else { return "bytes".into() };
        let arguments = std::iter::once("loopback-operator").chain(text.lines());
        match Cli::try_parse_from(arguments) {
            Ok(cli) => format!("ok {}", shape(&format!("{cli:?}").chars().skip(15).collect::<String>())),
            Err(problem) => {
                assert!(!problem.to_string().is_empty());
                format!("{:?}", problem.kind())
            }
        }
    });
}
