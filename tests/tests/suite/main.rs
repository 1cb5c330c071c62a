//! Every suite that needs no guest, in one binary: what storage promises (`conformance`), what users and operators see of
//! the database (`contracts`), what a killed host leaves behind (`crash`),
//! and what the source must look like (`tidy`).

mod conformance;
mod contracts;
mod crash;
mod tidy;
