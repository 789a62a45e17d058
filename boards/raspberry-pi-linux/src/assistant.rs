//! A model at work in a thread of its own, and the handle by which others ask it.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread::{self, JoinHandle};

use sprat::tools::Device;
use sprat_board_support::threads::Threads;

use crate::answering::Answering;
use crate::error::{AskError, OpenError};
use crate::map;
use crate::question::{Answer, Event, Question};
use crate::work::{Job, work};

/// How a model is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tokens of context; those that the model was packed for by default.
    pub context: Option<u32>,
    /// Threads that compute together.
    pub threads: usize,
    /// Whether each of them stays on a core of its own, where the system lets it.
    pub pinned: bool,
    /// Questions that may wait while one is answered.
    pub waiting: usize,
}

impl Default for Options {
    /// The packed context, a thread for each core (8 at most), pinned; 8 questions wait.
    fn default() -> Self {
        Self { context: None, threads: Threads::sensible(), pinned: true, waiting: 8 }
    }
}

/// What is known of an assistant.
#[derive(Clone, Debug)]
pub struct About {
    /// The model's name: that of its file, without what follows the last dot.
    pub model: String,
    /// Tokens of context.
    pub context_tokens: u32,
    /// Kernels that compute.
    pub kernels: &'static str,
    /// Threads that compute together.
    pub threads: usize,
    /// Bytes of the packed file.
    pub model_bytes: usize,
    /// Bytes of the arena.
    pub arena_bytes: usize,
}

/// A model that answers questions, one at a time. A clone is another handle; the model is let go with the last one.
#[derive(Clone, Debug)]
pub struct Assistant(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Until the assistant is dropped.
    jobs: Option<SyncSender<Job>>,
    /// Until the assistant is dropped.
    thread: Option<JoinHandle<()>>,
    is_dropped: Arc<AtomicBool>,
    waiting: usize,
    about: About,
}

impl Assistant {
    /// Opens a packed model, which calls a device in the middle of its answers: [`Pi`](crate::Pi), or one of one's own.
    ///
    /// # Errors
    /// A file that is no whole packed model, or one without a chat template; a context that the model does not have; no
    /// memory or threads.
    pub fn open(
        path: impl AsRef<Path>,
        options: Options,
        device: impl Device + Send + 'static,
    ) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let bytes = map::file(&path).map_err(|error| OpenError::Read { path: path.clone(), error })?;
        let (waiting, model) = (options.waiting, name_of(&path));
        let (jobs, coming) = mpsc::sync_channel(waiting);
        let (tell, told) = mpsc::sync_channel(1);
        let is_dropped = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&is_dropped);
        let worker = move || {
            let ready = tell.clone();
            let ready = move |about| _ = ready.send(Ok(About { model, ..about }));
            let device = RefCell::new(device);
            if let Err(error) = work(&path, &bytes, &options, &device, coming, &is_over, ready) {
                // Nobody listens any more only when this is not the first that was told.
                _ = tell.send(Err(error));
            }
        };
        let thread = thread::Builder::new().name("sprat 0".to_owned()).spawn(worker);
        let thread = thread.map_err(|error| OpenError::System { wanted: "thread".to_owned(), error })?;
        let about = told.recv().unwrap_or(Err(OpenError::Panicked))?;
        let inner = Inner { jobs: Some(jobs), thread: Some(thread), is_dropped, waiting, about };
        Ok(Self(Arc::new(inner)))
    }

    /// What is known of it.
    pub fn about(&self) -> &About {
        &self.0.about
    }

    /// Whether it can still answer.
    pub fn is_running(&self) -> bool {
        self.0.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Asks something and waits for the whole answer: `assistant.ask("What is 17 times 23?")`.
    ///
    /// # Errors
    /// Too many questions wait, the messages do not fit the context or the model's chat template, or the assistant has
    /// stopped.
    pub fn ask(&self, question: impl Into<Question>) -> Result<Answer, AskError> {
        self.answer(question)?.finish()
    }

    /// Asks something and gives the answer piece by piece as it is written.
    ///
    /// # Errors
    /// Too many questions wait, or the assistant has stopped. What is wrong with the question is said at the end of the
    /// pieces.
    pub fn answer(&self, question: impl Into<Question>) -> Result<Answering, AskError> {
        let (answering, on) = Answering::new();
        self.submit(question, on)?;
        Ok(answering)
    }

    /// Asks something and calls `on` with what happens, in the assistant's thread: for programs with an event loop. What
    /// `on` does holds up the answer. [`ControlFlow::Break`] cancels it.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub fn submit(
        &self,
        question: impl Into<Question>,
        on: impl FnMut(Event) -> ControlFlow<()> + Send + 'static,
    ) -> Result<(), AskError> {
        let jobs = self.0.jobs.as_ref().ok_or(AskError::Stopped)?;
        jobs.try_send(Job { question: question.into(), on: Box::new(on) }).map_err(|error| match error {
            TrySendError::Full(_) => AskError::Full { waiting: self.0.waiting },
            TrySendError::Disconnected(_) => AskError::Stopped,
        })
    }
}

/// What a file is called, for whoever chooses among models.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().map(PathBuf::from).unwrap_or_default();
    stem.display().to_string()
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Ends the answer that is being written, and those that wait.
        self.is_dropped.store(true, Ordering::Relaxed);
        self.jobs = None;
        let thread = self.thread.take();
        // The last handle may have been owned by whoever is called back, in that very thread.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id()) {
            // A panic was reported when it happened.
            _ = thread.join();
        }
    }
}
