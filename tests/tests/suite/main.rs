//! Every suite in one binary: what storage promises (`conformance`), what users and operators see of the database (`contracts`), of
//! the command line (`cli`), of the API (`http`) and of the library (`embedding`), what Hatchet's SDKs make of it (`hatchet`), what
//! compiled guests live through from being scheduled to their outcome (`scenarios`, built by `guests`), what a killed host leaves
//! behind (`crash`), what a host makes of a disk that fails, is full or loses its power (`faults`), what callers that mean harm cost it
//! (`hostile`), what namespaces do to each other (`neighbours`), and what the source must look like (`tidy`).

#![allow(clippy::type_complexity, reason = "a table of cases is a list of tuples")]

mod built;
mod cli;
mod client;
mod conformance;
mod contracts;
mod corpus;
mod crash;
mod embedding;
mod faults;
mod guests;
mod hatchet;
#[cfg(target_os = "linux")]
mod hostile;
mod http;
#[cfg(target_os = "linux")]
mod neighbours;
mod registries;
mod scenarios;
mod tidy;
