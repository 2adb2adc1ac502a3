//! The one WASM engine of the process: its settings, its clock, and the gate before its pool.

use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How long one tick of the engine's clock lasts; limits on time are as exact as this.
const TICK: Duration = Duration::from_millis(10);

/// Bytes of stack of one guest, within the calling thread's own (2 MiB and more).
const STACK: usize = 512 << 10;

/// Memories, tables and core instances that one component may have in the pool.
const PARTS: u32 = 8;

/// One process has one engine: compiled code, pool and clock are shared by all generations.
pub(super) struct PluginEngine {
    wasmtime: Engine,
    gate: Gate,
}

impl PluginEngine {
    /// The engine, made at the first call.
    ///
    /// # Errors
    /// A text that says why this machine can run no plugin.
    pub(super) fn shared() -> Result<&'static Self, &'static str> {
        static SHARED: OnceLock<Result<PluginEngine, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(Self::new).as_ref().map_err(String::as_str)?;
        shared.start_clock()?;
        Ok(shared)
    }

    /// The engine as wasmtime knows it.
    pub(super) fn wasmtime(&self) -> &Engine {
        &self.wasmtime
    }

    /// Waits until an instance is free in the pool. Every call ends within its time limit, so the wait
    /// is short; refusing would hold a message for no fault of its own.
    pub(super) fn enter(&self) -> Pass<'_> {
        self.gate.enter()
    }

    fn new() -> Result<Self, String> {
        let calls = thread::available_parallelism().map_or(2, usize::from).clamp(2, 16) * 4;
        let wasmtime = pooled(u32::try_from(calls).unwrap_or(64))
            // Too little address space (`ulimit -v`, a small container): slower, but it works.
            .or_else(|_| on_demand())
            .map_err(|why| format!("this machine cannot run WASM: {why:#}"))?;
        Ok(Self { wasmtime, gate: Gate::new(calls) })
    }

    /// Starts the thread that ticks while any guest runs and sleeps while none does.
    fn start_clock(&'static self) -> Result<(), &'static str> {
        static STARTED: OnceLock<bool> = OnceLock::new();
        let clock = || thread::Builder::new().name("plugin-clock".into()).spawn(|| self.tick());
        if *STARTED.get_or_init(|| clock().is_ok()) {
            return Ok(());
        }
        Err("the clock that limits plugins could not be started: the system has no thread left")
    }

    fn tick(&self) {
        loop {
            self.gate.wait_for_work();
            thread::sleep(TICK);
            self.wasmtime.increment_epoch();
        }
    }
}

/// Ticks that certainly last as long as `time`: the first one may be nearly over already.
pub(super) fn ticks(time: Duration) -> u64 {
    let whole = time.as_millis().div_ceil(TICK.as_millis());
    // Beyond a year it is no limit; the sum of all ticks must not overflow.
    u64::from(u32::try_from(whole).unwrap_or(u32::MAX)) + 1
}

fn pooled(calls: u32) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(calls)
        .total_core_instances(calls * PARTS)
        .total_memories(calls * 2)
        .total_tables(calls * PARTS)
        .max_core_instances_per_component(PARTS)
        .max_memories_per_component(2)
        .max_tables_per_component(PARTS)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(256 << 10)
        // Only the pages that a guest wrote are put back, where the kernel can tell which (Linux 6.7).
        .pagemap_scan(Enabled::Auto);
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

fn on_demand() -> wasmtime::Result<Engine> {
    let mut config = config();
    config.memory_reservation(64 << 20);
    Engine::new(&config)
}

/// Settings that both allocators share. Whatever could make two runs over one message differ is off
/// or made deterministic, so that a replay decides as the first run did.
fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // Bounds are checked by the code itself and not by the kernel: else each instance changes the
        // protection of its pages twice, and every core of the process waits for that.
        .signals_based_traps(false)
        .memory_guard_size(0)
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_backtrace_max_frames(None);
    config
}

/// Counts the guests that run.
struct Gate {
    running: Mutex<usize>,
    most: usize,
    /// One guest ended.
    freed: Condvar,
    /// The first guest began.
    begun: Condvar,
}

/// The right to have one guest; given back when dropped.
pub(super) struct Pass<'a>(&'a Gate);

impl Gate {
    fn new(most: usize) -> Self {
        Self { running: Mutex::new(0), most, freed: Condvar::new(), begun: Condvar::new() }
    }

    fn enter(&self) -> Pass<'_> {
        let mut running = self
            .freed
            .wait_while(self.running(), |running| *running >= self.most)
            .unwrap_or_else(PoisonError::into_inner);
        *running += 1;
        self.begun.notify_one();
        Pass(self)
    }

    fn wait_for_work(&self) {
        let idle = |running: &mut usize| *running == 0;
        drop(self.begun.wait_while(self.running(), idle).unwrap_or_else(PoisonError::into_inner));
    }

    fn running(&self) -> MutexGuard<'_, usize> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.0.running() -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use wasmtime::Store;
    use wasmtime::component::{Component, Linker};

    #[test]
    fn both_allocators_run_a_guest_with_memory() {
        let guest = "(component
            (core module $M (memory 17) (table 100 funcref) (data (i32.const 8) \"x\"))
            (core instance (instantiate $M)))";
        let guest = wat::parse_str(guest).unwrap();
        for engine in [super::pooled(4).unwrap(), super::on_demand().unwrap()] {
            let component = Component::new(&engine, &guest).unwrap();
            let mut store = Store::new(&engine, ());
            store.set_epoch_deadline(1);
            Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        }
    }

    #[test]
    fn a_deadline_is_never_shorter_than_its_limit() {
        assert_eq!(super::ticks(Duration::from_secs(1)), 101);
        assert_eq!(super::ticks(Duration::from_millis(15)), 3);
        assert_eq!(super::ticks(Duration::MAX), (1 << 32));
    }
}
