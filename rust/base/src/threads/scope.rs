//! A run of a session and the helpers that it holds, kept with the thread that runs it.

use std::cell::Cell;
use std::sync::Arc;

use super::alarm::Alarm;
use super::context;
use super::denormals;
use super::pool::Pool;
use super::region::{Manner, Region};
use super::settings::Settings;
use super::team::Team;
use super::{Cancel, Threads, fork, place};

/// The open scope of this thread.
struct Scope {
    /// Threads that it may use; 0 while no scope is open.
    limit: Cell<usize>,
    /// None if it may use one thread only.
    pool: Cell<Option<&'static Pool>>,
    team: Cell<Team>,
    /// The process that opened it.
    generation: Cell<usize>,
    /// How its threads work, if not as others do.
    settings: Cell<Option<Arc<Settings>>>,
}

thread_local! {
    static SCOPE: Scope = const {
        Scope {
            limit: Cell::new(0),
            pool: Cell::new(None),
            team: Cell::new(Team::EMPTY),
            generation: Cell::new(0),
            settings: Cell::new(None),
        }
    };
}

/// Runs `f`, a run of a session, with up to `threads` threads for its regions, until `cancel`.
///
/// Helpers are asked for at the first region and given back at the end. A scope inside of another, or inside of a region, shares the
/// threads of that.
pub fn scope<R>(threads: Threads, cancel: &Cancel, f: impl FnOnce() -> R) -> R {
    scope_with(threads, None, cancel, f)
}

/// Like [`scope`], with threads that work as `settings` say.
pub fn scope_with<R>(threads: Threads, settings: Option<&Arc<Settings>>, cancel: &Cancel, f: impl FnOnce() -> R) -> R {
    let run = || context::with_link(cancel, || with_team(threads, settings, f));
    if settings.is_some_and(|s| s.flush_denormals) { denormals::with_flush(true, run) } else { run() }
}

/// Runs `f` so that its regions also stop once `cancel` says so.
pub fn under<R>(cancel: &Cancel, f: impl FnOnce() -> R) -> R {
    context::with_link(cancel, f)
}

/// How many threads a region that starts here can have at most.
pub(super) fn limit() -> usize {
    if context::inside() {
        return 1;
    }
    match SCOPE.with(|scope| scope.limit.get()) {
        0 => Threads::default().count(),
        limit => limit,
    }
}

/// Runs a region with the helpers of the open scope, or of one that is opened for it.
pub(super) fn run(chunks: usize, f: &(dyn Fn(usize) + Sync)) {
    if chunks <= 1 || context::inside() {
        return run_inline(chunks, f);
    }
    let (limit, pool, generation) = SCOPE.with(|scope| (scope.limit.get(), scope.pool.get(), scope.generation.get()));
    match pool {
        _ if limit == 0 => with_team(Threads::default(), None, || run(chunks, f)),
        // A child forked in the midst of a scope has the scope, but not its helpers.
        Some(pool) if generation == fork::generation() => run_with(pool, balance(pool, limit, chunks), chunks, f),
        _ => run_inline(chunks, f),
    }
}

/// Runs all chunks on this thread. A single chunk may hold further regions, so it does not count as inside of one.
fn run_inline(chunks: usize, f: &(dyn Fn(usize) + Sync)) {
    context::with_cancel(|cancel| {
        context::enter(0, context::inside() || chunks > 1, || {
            (0..chunks).take_while(|_| !cancel.is_some_and(|link| link.is_cancelled())).for_each(f);
        });
    });
}

/// Opens a scope around `f` unless there is one.
fn with_team<R>(threads: Threads, settings: Option<&Arc<Settings>>, f: impl FnOnce() -> R) -> R {
    let open = SCOPE.with(|scope| scope.limit.get() > 0);
    if open || context::inside() {
        return f();
    }
    let pool = (threads.count() > 1).then(Pool::get);
    if let Some(pool) = pool {
        pool.open();
    }
    SCOPE.with(|scope| {
        scope.limit.set(threads.count());
        scope.pool.set(pool);
        scope.generation.set(fork::generation());
        scope.settings.set(settings.cloned());
    });
    let _close = Close;
    f()
}

/// Closes the scope of this thread when dropped, whether `f` returned or panicked.
struct Close;

impl Drop for Close {
    fn drop(&mut self) {
        SCOPE.with(|scope| {
            scope.limit.set(0);
            scope.settings.set(None);
            let team = scope.team.replace(Team::EMPTY);
            if let Some(pool) = scope.pool.take() {
                pool.release(&team);
                pool.close();
            }
        });
    }
}

/// The helpers to use for a region of `chunks`: gives some back if others have come to want them, takes more if there are any to spare.
fn balance(pool: &'static Pool, limit: usize, chunks: usize) -> Team {
    SCOPE.with(|scope| {
        let mut team = scope.team.get();
        let share = pool.share(limit);
        let useful = share.min(chunks - 1);
        if team.len() > share {
            let excess = team.len() - share;
            pool.release(&team.split(excess));
            scope.team.set(team);
        } else if team.len() < useful {
            pool.claim(useful - team.len(), limit, &mut team);
            scope.team.set(team);
        }
        let surplus = team.len().saturating_sub(useful);
        team.split(surplus);
        team
    })
}

/// Keeps helpers where the open scope wants them, and tells of how many, the lowest, it wants that, and how all work.
fn arrange(pool: &'static Pool, team: &Team) -> (usize, Manner) {
    SCOPE.with(|scope| {
        let settings = scope.settings.take();
        let affinities = settings.as_ref().and_then(|s| s.affinities.as_ref());
        let pinned = affinities.map_or(0, |a| {
            let places = team.iter().enumerate().map_while(|(i, index)| Some((index, a.of(i)?)));
            places.map(|(index, (number, mask))| pool.helper(index).pin(number, mask)).count()
        });
        let spin = settings.as_ref().and_then(|s| s.spin).unwrap_or(pool.spin());
        let manner = Manner { spin, flush_denormals: denormals::are_flushed() };
        scope.settings.set(settings);
        (pinned, manner)
    })
}

fn run_with(pool: &'static Pool, team: Team, chunks: usize, f: &(dyn Fn(usize) + Sync)) {
    if team.len() == 0 {
        return run_inline(chunks, f);
    }
    let (pinned, manner) = arrange(pool, &team);
    context::with_cancel(|cancel| {
        let generation = fork::generation();
        let region = Region::new(chunks, team, manner, cancel, f);
        let processor = place::here();
        let post = |index: usize| {
            let helper = pool.helper(index);
            if pinned == 0 || team.rank(index) >= pinned {
                helper.keep_off(processor, pool.mask());
            }
            // SAFETY: this scope holds the team, whose mailboxes have been empty since the last region ended; each is filled once, by one
            // of the two calls below; and every helper is joined: nothing in between unwinds, since the region catches the panics of its
            // chunks, and `join` does so only where no helper exists.
            unsafe { helper.post(&region) };
        };
        let asleep = team.filter(|index| pool.helper(index).is_parked());
        team.iter().filter(|index| !asleep.has(*index)).for_each(post);
        if asleep.len() == 0 {
            region.lead();
        } else {
            context::with_alarm(&Alarm::new(&|| asleep.iter().for_each(post)), || region.lead());
        }
        team.iter().for_each(|index| pool.helper(index).join(&region, generation, manner.spin, pool.mask()));
        region.end();
    });
}
