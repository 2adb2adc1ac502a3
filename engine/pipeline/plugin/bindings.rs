//! What wasmtime generates from `plugins/step.wit`. Nothing is written by hand here.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

wasmtime::component::bindgen!({
    path: "plugins/step.wit",
    world: "step",
    with: { "mailmill:step/message.mail": super::host::Mail },
    // A refused value, a missing body or a limit ends the guest where it stands.
    imports: { default: trappable },
});
