//! Every suite in one binary: what storage promises (`conformance`), what users and operators see of the database (`contracts`),
//! of the command line (`cli`) and of the API (`http`), and what the source must look like (`tidy`).

mod built;
mod cli;
mod conformance;
mod contracts;
mod http;
mod tidy;
