//! The clock behind the timeline: which step of the walk is shown.

/// Seconds that a walk takes at speed 1, whatever its T.
const SECONDS: f64 = 3.2;

/// The position in a walk, a number of steps from 0 to T with fractions, and the way in which time moves it.
#[derive(Debug, Clone, PartialEq)]
pub struct Clock {
    /// Position in steps, 0 … T.
    pub position: f64,
    /// Whether the position moves with time.
    pub playing: bool,
    /// The factor on the speed; at 1 a walk takes 3.2 seconds.
    pub speed: f64,
    /// Whether the walk starts over at its end.
    pub repeat: bool,
    steps: usize,
}

impl Clock {
    /// A clock at step 0 of `steps`.
    pub fn new(steps: usize) -> Self {
        Self {
            position: 0.0,
            playing: false,
            speed: 1.0,
            repeat: false,
            steps,
        }
    }

    /// The number of steps T of the walk.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The last whole step that was reached.
    pub fn step(&self) -> usize {
        (self.position + 1e-9) as usize
    }

    /// Puts the clock at the start of another walk, of `steps` steps.
    pub fn restart(&mut self, steps: usize, playing: bool) {
        self.steps = steps;
        self.position = 0.0;
        self.playing = playing;
    }

    /// Moves to `position`, and stops playing.
    pub fn seek(&mut self, position: f64) {
        self.position = position.clamp(0.0, self.steps as f64);
        self.playing = false;
    }

    /// Moves `by` whole steps forward or back, and stops playing.
    pub fn nudge(&mut self, by: i32) {
        let from = if by < 0 {
            self.position.ceil()
        } else {
            self.position.floor()
        };
        self.seek(from + f64::from(by));
    }

    /// Plays or pauses. At the end of the walk it plays from the start.
    pub fn toggle(&mut self) {
        if !self.playing && self.position >= self.steps as f64 {
            self.position = 0.0;
        }
        self.playing = !self.playing;
    }

    /// Lets `seconds` pass. Returns whether the position has moved.
    pub fn tick(&mut self, seconds: f64) -> bool {
        if !self.playing {
            return false;
        }
        let end = self.steps as f64;
        self.position += seconds * self.speed * end / SECONDS;
        if self.position >= end {
            if self.repeat {
                self.position = 0.0;
            } else {
                self.position = end;
                self.playing = false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_to_the_end_and_stops() {
        let mut clock = Clock::new(20);
        assert!(!clock.tick(1.0));
        clock.toggle();
        assert!(clock.tick(SECONDS / 2.0));
        assert_eq!(clock.step(), 10);
        clock.tick(SECONDS);
        assert_eq!((clock.position, clock.playing), (20.0, false));
        clock.toggle();
        assert_eq!((clock.position, clock.playing), (0.0, true));
    }

    #[test]
    fn steps_are_whole_wherever_it_stands() {
        let mut clock = Clock::new(10);
        clock.seek(3.4);
        clock.nudge(1);
        assert_eq!(clock.position, 4.0);
        clock.seek(3.4);
        clock.nudge(-1);
        assert_eq!(clock.position, 3.0);
        clock.nudge(-9);
        assert_eq!(clock.position, 0.0);
        clock.seek(99.0);
        assert_eq!(clock.position, 10.0);
    }

    #[test]
    fn a_loop_starts_over() {
        let mut clock = Clock::new(5);
        clock.repeat = true;
        clock.toggle();
        clock.tick(2.0 * SECONDS);
        assert_eq!((clock.position, clock.playing), (0.0, true));
    }
}
