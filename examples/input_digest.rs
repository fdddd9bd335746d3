//! Prints the SHA-256 of what the network sees of each image file: the tests compare it with that of the browser.
//!
//! `cargo run --release --example input_digest -- film.jpg other.dcm`

use std::process::ExitCode;
use std::{env, fs};

use deepbreath::Radiograph;
use deepbreath::preprocess::ModelInput;

fn main() -> ExitCode {
    for file in env::args().skip(1) {
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) => {
                eprintln!("{file}: {error}");
                return ExitCode::from(2);
            }
        };
        // As the browser says it: the digest, or the code of the refusal.
        match Radiograph::decode(&file, &bytes) {
            Ok(film) => println!("{}", ModelInput::from_radiograph(&film).digest()),
            Err(error) => println!("{}", error.code()),
        }
    }
    ExitCode::SUCCESS
}
