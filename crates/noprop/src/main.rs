//! noprop
fn main(){}
