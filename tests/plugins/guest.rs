//! Plugins written by hand, so that they can do what no SDK would let them.

/// A plugin in WAT: a component over `mailmill:step/message` whose parts can be replaced.
pub struct Guest {
    /// The interface it imports.
    pub interface: &'static str,
    /// More imports, as component WAT.
    pub imports: &'static str,
    /// More functions of `mail` that it imports, as WAT of an instance type.
    pub methods: &'static str,
    /// The verb with one text that `$copy` calls, and its parameter.
    pub verb: (&'static str, &'static str),
    /// What `describe` answers.
    pub describe: &'static str,
    /// The body of core `describe`, which returns a pointer to (pointer, length).
    pub describe_body: &'static str,
    /// The body of core `inbound`: `$m` is the mail's handle; 0 on the stack returns Ok.
    pub inbound: String,
    /// More items of the core module: globals, tables, functions, data from 1024 on.
    pub items: String,
    /// The exports of the component.
    pub exports: String,
}

/// What a right plugin exports.
pub const EXPORTS: &str = r#"
  (func (export "describe") (result string)
    (canon lift (core func $main "describe") (memory $memory)))
  (func (export "inbound") (param "m" (borrow $mail)) (result (result (error string)))
    (canon lift (core func $main "inbound") (memory $memory)))
  (func (export "outbound") (param "m" (borrow $mail)) (result (result (error string)))
    (canon lift (core func $main "inbound") (memory $memory)))
"#;

impl Default for Guest {
    fn default() -> Self {
        Self {
            interface: "mailmill:step/message@1.0.0",
            imports: "",
            methods: "",
            verb: ("copy-to", "mailbox"),
            describe: r#"{"name":"hostile","version":"1","about":"x","directions":["inbound"]}"#,
            describe_body: "i32.const 16",
            inbound: "i32.const 0".into(),
            items: String::new(),
            exports: EXPORTS.into(),
        }
    }
}

impl Guest {
    /// A plugin whose `inbound` does this, drops its handle and returns Ok.
    pub fn doing(inbound: &str) -> Self {
        Self { inbound: format!("{inbound}\n i32.const 0"), ..Self::default() }
    }

    /// With more items in its core module.
    pub fn with(mut self, items: impl Into<String>) -> Self {
        self.items = items.into();
        self
    }

    /// The component's bytes.
    pub fn build(&self) -> Vec<u8> {
        wat::parse_str(self.wat()).unwrap_or_else(|why| panic!("{why}\n{}", self.wat()))
    }

    fn wat(&self) -> String {
        let Self { interface, imports, methods, describe_body, inbound, items, exports, .. } = self;
        let (verb, parameter) = self.verb;
        let describe = self.describe.replace('"', "\\\"");
        let length = format!("{:x}", self.describe.len());
        let length = format!("\\{:0>2}\\{:0>2}", &length[length.len().saturating_sub(2)..], "00");
        format!(
            r#"(component
  {imports}
  (import "{interface}" (instance $message
    (export "mail" (type $mail (sub resource)))
    (export "fail" (func (param "why" string)))
    (export "[method]mail.uid" (func (param "self" (borrow $mail)) (result u32)))
    (export "[method]mail.text" (func (param "self" (borrow $mail)) (result string)))
    (export "[method]mail.log" (func (param "self" (borrow $mail)) (param "text" string)))
    (export "[method]mail.{verb}" (func (param "self" (borrow $mail)) (param "{parameter}" string)))
    (export "[method]mail.stop" (func (param "self" (borrow $mail))))
    {methods}
  ))
  (alias export $message "mail" (type $mail))
  (core module $Memory
    (memory (export "memory") 64)
    ;; Whatever the host gives lies in the same place: reading it again needs no more memory.
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 131072))
  (core instance $memory_of (instantiate $Memory))
  (alias core export $memory_of "memory" (core memory $memory))
  (alias core export $memory_of "realloc" (core func $realloc))
  (core func $fail (canon lower (func $message "fail") (memory $memory)))
  (core func $uid (canon lower (func $message "[method]mail.uid")))
  (core func $text (canon lower (func $message "[method]mail.text")
    (memory $memory) (realloc $realloc)))
  (core func $log (canon lower (func $message "[method]mail.log") (memory $memory)))
  (core func $copy (canon lower (func $message "[method]mail.{verb}") (memory $memory)))
  (core func $stop (canon lower (func $message "[method]mail.stop")))
  (core func $drop (canon resource.drop $mail))
  (core module $Main
    (import "host" "memory" (memory 1))
    (import "host" "fail" (func $fail (param i32 i32)))
    (import "host" "uid" (func $uid (param i32) (result i32)))
    (import "host" "text" (func $text (param i32 i32)))
    (import "host" "log" (func $log (param i32 i32 i32)))
    (import "host" "copy" (func $copy (param i32 i32 i32)))
    (import "host" "stop" (func $stop (param i32)))
    (import "host" "drop" (func $drop (param i32)))
    (data (i32.const 16) "\80\00\00\00{length}\00\00")
    (data (i32.const 128) "{describe}")
    {items}
    (func $inbound (param $m i32) (result i32) {inbound})
    (func (export "inbound") (param $m i32) (result i32)
      local.get $m call $inbound
      local.get $m call $drop)
    (func (export "describe") (result i32) {describe_body}))
  (core instance $main (instantiate $Main (with "host" (instance
    (export "memory" (memory $memory))
    (export "fail" (func $fail))
    (export "uid" (func $uid))
    (export "text" (func $text))
    (export "log" (func $log))
    (export "copy" (func $copy))
    (export "stop" (func $stop))
    (export "drop" (func $drop))))))
  {exports}
)"#
        )
    }
}
