//! One file a verb.

pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod list;
pub(crate) mod recommend;
pub(crate) mod stages;

use indicatif::{ProgressBar, ProgressStyle};
use quintet::core::Modality;
use quintet::tensor::{DeviceChoice, OpenDevice, open_device};
use std::cell::RefCell;

/// Opens a device and says so when it is not the plain CPU.
pub(crate) fn device(choice: DeviceChoice) -> anyhow::Result<OpenDevice> {
    let open = open_device(choice)?;
    if open.choice != DeviceChoice::Flex || open.note.contains(';') {
        crate::print::note(&format!("device: {} ({})", open.choice, open.note));
    }
    Ok(open)
}

/// A bar for encoding; quiet where standard error is not a terminal.
pub(crate) struct EncodeBar {
    bar: RefCell<Option<(Modality, ProgressBar)>>,
}

impl EncodeBar {
    pub(crate) fn new() -> Self {
        Self { bar: RefCell::new(None) }
    }

    pub(crate) fn update(&self, modality: Modality, done: usize, total: usize) {
        let mut slot = self.bar.borrow_mut();
        let fresh = slot.as_ref().is_none_or(|(m, _)| *m != modality);
        if fresh {
            let bar = ProgressBar::new(total as u64);
            let style = "{prefix:<10} {bar:24} {pos}/{len} items  {per_sec}  eta {eta}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar.set_prefix(modality.as_str());
            *slot = Some((modality, bar));
        }
        if let Some((_, bar)) = slot.as_ref() {
            bar.set_position(done as u64);
            if done >= total {
                bar.finish_and_clear();
            }
        }
    }
}
