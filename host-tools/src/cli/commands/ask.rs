//! `sprat ask`: the chain of an answer as it comes, then the answer.

use std::io::IsTerminal;

use anyhow::Result;
use sprat_emulator::firmware::{Form, Progress};

use super::{Colours, print, print_json};
use crate::ask::{
    AskOptions, QuestionSet, ScoreOptions, Shown, VotesReport, ask, ask_board, score, shown_scores,
};
use crate::cli::arguments::AskArguments;
use crate::emulate::{Emulated, Wanted};
use crate::model::Model;
use crate::progress::bar;

/// The temperature of chains that vote; at 0 they would be one and the same.
const CHAINS_TEMPERATURE: f32 = 0.7;

pub(super) fn ask_model(arguments: &AskArguments) -> Result<()> {
    let mut sampler = arguments.sampling.config();
    if arguments.chains > 0 && sampler.temperature == 0.0 {
        sampler.temperature = CHAINS_TEMPERATURE;
    }
    let options = AskOptions {
        question: arguments.question.clone().unwrap_or_default(),
        sensors: arguments.sensors.clone(),
        tools: !arguments.no_tools,
        max_tokens: arguments.max_tokens,
        sampler,
        chains: arguments.chains,
        seed: arguments.sampling.seed,
        kernels: arguments.kernels.clone(),
        context: arguments.context,
        threads: arguments.team.threads(),
    };
    if !arguments.questions.is_empty() {
        return score_model(arguments, options);
    }
    let colours = Colours::of_stdout();
    let mut written = Ok(());
    let mut show = |shown: Shown<'_>| {
        if arguments.json || written.is_err() {
            return;
        }
        written = match shown {
            Shown::Written(text) => print(text),
            Shown::Inserted(text) => print(&colours.inserted(text)),
        };
    };
    let report = match &arguments.board {
        Some(board) => {
            eprintln!("building the firmware of {board} around {}", arguments.file.display());
            let progress = if std::io::stderr().is_terminal() { Progress::Shown } else { Progress::Silent };
            let emulated = Emulated::build(&Wanted {
                board,
                model: &arguments.file,
                context: arguments.context,
                kernels: arguments.kernels.as_deref(),
                form: Form::Ask,
                slots: false,
                window: None,
                progress,
            })?;
            ask_board(&emulated, &options, &mut show)?
        }
        None => {
            let progress = bar("packing");
            let model = Model::open(&arguments.file, &arguments.open.options(), &progress)?;
            progress.finish_and_clear();
            ask(&model, &options, &mut show)?
        }
    };
    written?;
    if arguments.json {
        return print_json(&report);
    }
    print(&format!("\n\n{}\n", colours.answer(&report.answer)))?;
    if let Some(votes) = &report.votes {
        for chain in &votes.chains {
            print(&format!("\n{}\n", chain.text.trim_end()))?;
        }
        let VotesReport { chains, answer, votes, confidence, of_longest } = votes;
        let (count, answer) = (chains.len(), colours.answer(answer));
        print(&format!(
            "\n{answer}: {votes} of {count} chains, confidence {confidence:.2}; the longer half says {of_longest}\n"
        ))?;
    }
    eprintln!("{}", report.summary());
    Ok(())
}

/// Counts the right answers to questions whose answers are known.
fn score_model(arguments: &AskArguments, ask: AskOptions) -> Result<()> {
    let most = arguments.limit.unwrap_or(usize::MAX);
    let sets = arguments.questions.iter().map(|path| QuestionSet::read(path, most));
    let sets = sets.collect::<Result<Vec<_>>>()?;
    let progress = bar("packing");
    let model = Model::open(&arguments.file, &arguments.open.options(), &progress)?;
    progress.finish_and_clear();
    let progress = bar("asking");
    let scores = score(&model, &sets, &ScoreOptions { ask, wrong: arguments.wrong }, &progress)?;
    progress.finish_and_clear();
    match arguments.json {
        true => print_json(&scores),
        false => print(&shown_scores(&scores)),
    }
}
