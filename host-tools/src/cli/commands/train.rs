//! `sprat train`: a bar with the loss while it trains, then what came of it.

use anyhow::Result;
use indicatif::HumanDuration;
use sprat_corpus::Recipe;
use sprat_train::job::{Event, Summary, train};
use sprat_train::starter;

use super::super::arguments::TrainArguments;
use super::{print, print_json};
use crate::output::write_whole;
use crate::progress::bar;
use crate::table::grouped;

/// Steps whose mean loss is shown.
const SHOWN_STEPS: f64 = 20.0;
/// Parts of the bar.
const PARTS: u64 = 1000;

pub(super) fn train_model(arguments: &TrainArguments) -> Result<()> {
    if let Some(folder) = &arguments.new {
        starter::write(folder, &write_whole)?;
        let folder = folder.display();
        return print(&format!(
            "{folder}: chats to begin with; {folder}/README.md says how to make them yours\nTrain on them: sprat train \
             {folder}/chats.jsonl --eval {folder}/held-out.jsonl --preset 260k --tokens 2M -o {folder}/model\n"
        ));
    }
    if let Some(folder) = &arguments.assistant_corpus {
        let recipe =
            Recipe { seed: arguments.seed, examples: arguments.examples, questions: arguments.questions };
        sprat_corpus::write(recipe, folder)?;
        let folder = folder.display();
        return print(&format!(
            "{folder}: train.jsonl, and questions in {folder}/held-out\nTrain on them: sprat train {folder}/train.jsonl -o \
             assistant\nAsk them: sprat ask assistant.sprat --questions {folder}/held-out/*.jsonl\n"
        ));
    }
    let job = arguments.job();
    let progress = bar("reading");
    let mut mean = None;
    let mut shown = 0;
    let summary = train(&job, &write_whole, &mut |event| match event {
        Event::Begins(start) => {
            let left_out = match start.left_out {
                0 => String::new(),
                count => format!("; {} are longer than the context and left out", grouped(count as u64)),
            };
            progress.println(format!(
                "{} parameters, {} tokens of vocabulary; {} chats of {} tokens{left_out}",
                grouped(start.parameters as u64),
                grouped(start.vocabulary as u64),
                grouped(start.chats as u64),
                grouped(start.corpus_tokens as u64),
            ));
            progress.set_prefix("training");
            progress.set_length(PARTS);
        }
        Event::Stepped { step, used, tokens_per_second } => {
            let before = mean.unwrap_or(step.loss);
            let smooth = before + (step.loss - before) / SHOWN_STEPS.min(step.number as f64);
            mean = Some(smooth);
            progress.set_position((used * PARTS as f64) as u64);
            let line = format!("step {}, loss {smooth:.4}, {tokens_per_second:.0} tokens/s", step.number);
            // In a file, a line for each percent.
            if progress.is_hidden() && (used * 100.0) as u64 > shown {
                shown = (used * 100.0) as u64;
                eprintln!("{shown:>3} %  {line}");
            }
            progress.set_message(line);
        }
        Event::Measured(file, measured) => {
            let text = format!(
                "{}: loss {:.4}, right: {:.2} % of tokens, {:.2} % of {} chats",
                file.display(),
                measured.loss,
                100.0 * measured.right_tokens,
                100.0 * measured.right_chats,
                grouped(measured.chats as u64),
            );
            match progress.is_hidden() {
                true => eprintln!("{text}"),
                false => progress.println(text),
            }
        }
        Event::Saved => {}
    })?;
    progress.finish_and_clear();
    match arguments.json {
        true => print_json(&summary),
        false => print(&text(&summary, &job.output.display().to_string())),
    }
}

fn text(summary: &Summary, output: &str) -> String {
    let time = HumanDuration(std::time::Duration::from_secs_f64(summary.seconds));
    format!(
        "{output}: {} steps, {} tokens in {time} ({:.0} tokens/s), loss {:.4}\nPack it: sprat pack {output} -o \
         {output}.sprat\n",
        grouped(summary.steps),
        grouped(summary.tokens),
        summary.tokens_per_second,
        summary.loss,
    )
}
