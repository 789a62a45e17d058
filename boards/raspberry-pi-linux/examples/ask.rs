//! Asks a model some questions: `cargo run -p raspberry-pi-linux --example ask -- MODEL.sprat "What is 17 times 23?"`.

use std::error::Error;
use std::io::{self, Write as _};

use raspberry_pi_linux::{Assistant, Options, Pi, Piece};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().ok_or("expected arguments: MODEL.sprat QUESTION...")?;
    let assistant = Assistant::open(model, Options::default(), Pi::found())?;
    for question in arguments {
        let mut answer = assistant.answer(question)?;
        for piece in answer.by_ref() {
            if let Piece::Text(text) = piece {
                print!("{text}");
                io::stdout().flush()?;
            }
        }
        let answer = answer.finish()?;
        println!("  [{} tokens read, {} written]", answer.read_tokens, answer.written_tokens);
    }
    Ok(())
}
