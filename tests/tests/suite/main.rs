//! Every suite in one binary: what storage promises (`conformance`), what users and operators see of the database
//! (`contracts`), what compiled guests live through from being scheduled to their outcome (`scenarios`, built by `guests`), and
//! what the source must look like (`tidy`).

mod conformance;
mod contracts;
mod guests;
mod scenarios;
mod tidy;
