//! A recorder that keeps the last minutes alone: what it does with its files instead of leaving them.

use super::dashcam::{Dashcam, DashcamSettings, Line, RingPiece};
use super::{MAX_NOTICES, OpenFile, Recorder, Rotation};

impl Recorder {
    /// The same recorder as a dashcam: it keeps the last minutes, and writes them to its files when it is asked to.
    #[must_use]
    pub fn keeping(self, settings: DashcamSettings) -> Self {
        let (every, size) = settings.slice();
        let rotation = Rotation { size: Some(size), every: Some(every), records: None };
        let target = self.target.of_ring();
        Self { dashcam: Some(Dashcam::new(settings, self.target)), target, rotation, ..self }
    }

    /// What it keeps, where it is a dashcam.
    #[must_use]
    pub fn dashcam(&self) -> Option<DashcamSettings> {
        self.dashcam.as_ref().map(|dashcam| dashcam.settings)
    }

    /// Has a dashcam write out what it keeps, and what follows; `reason` is said with it. Without one, nothing happens.
    pub fn save(&mut self, reason: &str) {
        if self.dashcam.is_none() {
            return;
        }
        self.close();
        let begun = self.dashcam.as_mut().map(|dashcam| dashcam.begin(&mut *self.disk, self.now, reason));
        if let Some(line) = begun {
            self.say(line);
        }
    }

    /// Returns whether there is work for [`Recorder::tick`], besides what comes.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.dashcam.as_ref().is_some_and(Dashcam::has_work)
    }

    /// Takes the news for people: of saves that begin and end.
    pub fn take_news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    fn say(&mut self, line: Line) {
        match line {
            Ok(news) if self.news.len() < MAX_NOTICES => self.news.push(news),
            Ok(_) => {}
            Err(warning) => self.notice(warning),
        }
    }

    /// Removes what a dashcam keeps no longer, and goes on with what it writes out.
    pub(super) fn turn_ring(&mut self) {
        if self.dashcam.as_ref().is_some_and(|dashcam| dashcam.is_due(self.now)) {
            self.end_save();
        }
        let open = self.open.as_ref().map_or(0, |open| open.sink.stored());
        let Some(dashcam) = &mut self.dashcam else { return };
        dashcam.evict(&mut *self.disk, self.now, open);
        let line = dashcam.step(&mut *self.disk);
        if let Some(line) = line {
            self.say(line);
        }
    }

    /// What was recorded until now is the last that a save wants.
    fn end_save(&mut self) {
        self.close();
        if let Some(dashcam) = &mut self.dashcam {
            dashcam.close();
        }
    }

    /// Ends what a dashcam writes out, and removes its ring.
    pub(super) fn end_ring(&mut self) {
        if self.dashcam.as_ref().is_some_and(Dashcam::is_saving) {
            self.end_save();
        }
        while self.has_work() {
            let line = self.dashcam.as_mut().and_then(|dashcam| dashcam.step(&mut *self.disk));
            if let Some(line) = line {
                self.say(line);
            }
        }
        if let Some(dashcam) = &mut self.dashcam {
            dashcam.remove(&mut *self.disk);
        }
    }

    /// Hands what is in a file that ends to the dashcam, where there is one.
    pub(super) fn keep_segment(&mut self, open: &OpenFile) {
        let Some(dashcam) = self.dashcam.as_mut().filter(|_| open.proven) else { return };
        let (amount, ended, stored) = open.flushed;
        dashcam.push(RingPiece { path: open.path.clone(), ended, amount, stored, is_wanted: false });
    }
}
