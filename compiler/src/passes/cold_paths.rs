//! Blocks that can only go on to cold blocks are cold.
//!
//! Cranelift moves blocks that trap to the end of the function, and those that were declared cold. What
//! prepares a trap, or computes on the way to it, stays in the middle of the code.

use cranelift_codegen::ir::{Block, Function};

pub(super) fn run(func: &mut Function) {
    let entry = func.layout.entry_block();
    // Successors stand behind their predecessors, mostly: one round from the end finds nearly all.
    let blocks: Vec<Block> = func.layout.blocks().collect();
    for block in blocks.into_iter().rev() {
        if Some(block) != entry && !func.layout.is_cold(block) && leads_to_cold_blocks(func, block)
        {
            func.layout.set_cold(block);
        }
    }
}

fn leads_to_cold_blocks(func: &Function, block: Block) -> bool {
    let mut successors = func.block_successors(block).peekable();
    successors.peek().is_some() && successors.all(|next| func.is_effectively_cold(next))
}
