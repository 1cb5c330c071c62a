//! Every suite in one binary: what storage promises (`conformance`), what users and operators see of the database (`contracts`),
//! of the command line (`cli`), of the API (`http`) and of the library (`embedding`), and what the source must look like (`tidy`).

mod built;
mod cli;
mod conformance;
mod contracts;
mod embedding;
mod http;
mod tidy;
