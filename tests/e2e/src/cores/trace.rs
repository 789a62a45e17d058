//! Instructions of a Linux program, counted from the emulator's log of what it executes.
//!
//! With `-d in_asm,nochain,exec` QEMU shows the instructions of each block when it first translates it, and then
//! one line for each time that a block is executed. A block is left at its end only, so the number of executed
//! instructions is exact, and always the same.

use std::collections::HashMap;
use std::io::{BufRead, Result};

/// The instructions between the first and the second call of a function whose name contains `mark`, between the
/// second and the third, and so on. The blocks of that function itself are left out.
pub(super) fn between_marks(log: impl BufRead, mark: &str) -> Result<Vec<u64>> {
    // Instructions of the block at an address, as it was translated last.
    let mut lengths: HashMap<u64, u64> = HashMap::new();
    let mut translated = 0u64;
    let mut first_of_block = 0;
    let (mut between, mut sum, mut in_mark, mut begun) = (Vec::new(), 0, false, false);
    for line in log.lines() {
        let line = line?;
        if let Some(executed) = line.strip_prefix("Trace ") {
            if translated > 0 {
                lengths.insert(first_of_block, translated);
                translated = 0;
            }
            let Some((address, symbol)) = block(executed) else { continue };
            if symbol.contains(mark) {
                if !in_mark && begun {
                    between.push(sum);
                }
                (in_mark, begun, sum) = (true, true, 0);
            } else {
                in_mark = false;
                sum += lengths.get(&address).copied().unwrap_or(0);
            }
        } else if let Some(address) = instruction(&line) {
            if translated == 0 {
                first_of_block = address;
            }
            translated += 1;
        }
    }
    Ok(between)
}

/// Address and symbol in `0: HOST [CS/ADDRESS/FLAGS/CFLAGS] SYMBOL`.
fn block(executed: &str) -> Option<(u64, &str)> {
    let (_, rest) = executed.split_once('[')?;
    let (state, symbol) = rest.split_once(']')?;
    let address = state.split('/').nth(1)?;
    Some((u64::from_str_radix(address, 16).ok()?, symbol.trim()))
}

/// The address in `0xADDRESS:  OPCODE  TEXT`.
fn instruction(line: &str) -> Option<u64> {
    let (address, _) = line.strip_prefix("0x")?.split_once(':')?;
    u64::from_str_radix(address, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
----------------
IN: main
0x00001000:  d280001d  movz     x29, #0
0x00001004:  94000000  bl       #0x2000

Trace 0: 0x7fea [0000000000000001/0000000000001000/00000001/00000200] main
----------------
IN: _ZN1a4markE
0x00002000:  d65f03c0  ret

Trace 0: 0x7feb [0000000000000001/0000000000002000/00000001/00000200] _ZN1a4markE
----------------
IN: work
0x00003000:  d280001d  movz     x29, #0
0x00003004:  d280001d  movz     x29, #0
0x00003008:  54000000  b.eq     #0x3000

Trace 0: 0x7fec [0000000000000001/0000000000003000/00000001/00000200] work
Trace 0: 0x7fec [0000000000000001/0000000000003000/00000001/00000200] work
Trace 0: 0x7feb [0000000000000001/0000000000002000/00000001/00000200] _ZN1a4markE
Trace 0: 0x7fea [0000000000000001/0000000000001000/00000001/00000200] main
Trace 0: 0x7feb [0000000000000001/0000000000002000/00000001/00000200] _ZN1a4markE
Trace 0: 0x7fea [0000000000000001/0000000000001000/00000001/00000200] main
";

    #[test]
    fn blocks_count_as_often_as_they_run() {
        assert_eq!(between_marks(LOG.as_bytes(), "4mark").unwrap(), [6, 2]);
    }
}
