//! Templates by name, for checkpoints that come without one or with one that cannot be compiled.
//!
//! Each writes the form that its family's models were trained on, in the plainest Jinja that does.

/// Names and sources.
pub const BUILTIN: [(&str, &str); 10] = [
    ("chatml", CHATML),
    ("llama2", LLAMA2),
    ("llama3", LLAMA3),
    ("gemma", GEMMA),
    ("phi3", PHI3),
    ("zephyr", ZEPHYR),
    ("mistral", MISTRAL),
    ("alpaca", ALPACA),
    ("vicuna", VICUNA),
    ("sprat", SPRAT),
];

const CHATML: &str = "\
{%- for m in messages -%}
{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}";

const LLAMA2: &str = "\
{%- for m in messages -%}
{%- if m.role == 'system' and loop.first -%}
{{ bos_token + '[INST] <<SYS>>\\n' + m.content | trim + '\\n<</SYS>>\\n\\n' }}
{%- elif m.role == 'user' and not loop.first and loop.previtem.role == 'system' -%}
{{ m.content | trim + ' [/INST]' }}
{%- elif m.role == 'user' and (loop.first or loop.previtem.role == 'assistant') -%}
{{ bos_token + '[INST] ' + m.content | trim + ' [/INST]' }}
{%- elif m.role == 'assistant' and not loop.first and loop.previtem.role == 'user' -%}
{{ ' ' + m.content | trim + ' ' + eos_token }}
{%- else -%}{{ raise_exception('users and assistants take turns, a system message is the first') }}{%- endif -%}
{%- endfor -%}";

const LLAMA3: &str = "\
{{- bos_token -}}
{%- for m in messages -%}
{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif -%}";

/// A system message becomes the beginning of the first turn, as Gemma 3 has it.
const GEMMA: &str = "\
{{- bos_token -}}
{%- for m in messages -%}
{%- if m.role == 'system' and loop.first -%}
{{ '<start_of_turn>user\\n' + m.content | trim + '\\n\\n' }}
{%- elif m.role == 'user' and not loop.first and loop.previtem.role == 'system' -%}
{{ m.content | trim + '<end_of_turn>\\n' }}
{%- elif m.role == 'user' and (loop.first or loop.previtem.role == 'assistant') -%}
{{ '<start_of_turn>user\\n' + m.content | trim + '<end_of_turn>\\n' }}
{%- elif m.role == 'assistant' and not loop.first and loop.previtem.role == 'user' -%}
{{ '<start_of_turn>model\\n' + m.content | trim + '<end_of_turn>\\n' }}
{%- else -%}{{ raise_exception('users and assistants take turns, a system message is the first') }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}";

const PHI3: &str = "\
{%- for m in messages -%}
{%- if m.role == 'tool' -%}{{ raise_exception('no tools') }}{%- endif -%}
{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- endif -%}";

const ZEPHYR: &str = "\
{%- for m in messages -%}
{%- if m.role == 'tool' -%}{{ raise_exception('no tools') }}{%- endif -%}
{{ '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>\\n' }}{%- endif -%}";

/// A system message becomes the beginning of the first turn.
const MISTRAL: &str = "\
{{- bos_token -}}
{%- for m in messages -%}
{%- if m.role == 'system' and loop.first -%}
{{ '[INST] ' + m.content + '\\n\\n' }}
{%- elif m.role == 'user' and not loop.first and loop.previtem.role == 'system' -%}
{{ m.content + ' [/INST]' }}
{%- elif m.role == 'user' and (loop.first or loop.previtem.role == 'assistant') -%}
{{ '[INST] ' + m.content + ' [/INST]' }}
{%- elif m.role == 'assistant' and not loop.first and loop.previtem.role == 'user' -%}
{{ ' ' + m.content + eos_token }}
{%- else -%}{{ raise_exception('users and assistants take turns, a system message is the first') }}{%- endif -%}
{%- endfor -%}";

const ALPACA: &str = "\
{%- for m in messages -%}
{%- if m.role == 'system' and loop.first -%}
{{ m.content + '\\n\\n' }}
{%- elif m.role == 'user' -%}
{%- if loop.first -%}
{{ 'Below is an instruction that describes a task. Write a response that appropriately completes the request.\\n\\n' }}
{%- endif -%}
{{ '### Instruction:\\n' + m.content + '\\n\\n' }}
{%- elif m.role == 'assistant' and not loop.first and loop.previtem.role == 'user' -%}
{{ '### Response:\\n' + m.content + eos_token + '\\n\\n' }}
{%- else -%}{{ raise_exception('users and assistants take turns, a system message is the first') }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '### Response:\\n' }}{%- endif -%}";

const VICUNA: &str = "\
{{- bos_token -}}
{%- for m in messages -%}
{%- if m.role == 'system' and loop.first -%}
{{ m.content + ' ' }}
{%- elif m.role == 'user' -%}
{%- if loop.first -%}
{{ 'A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, '
+ \"and polite answers to the user's questions. \" }}
{%- endif -%}
{{ 'USER: ' + m.content }}
{%- elif m.role == 'assistant' and not loop.first and loop.previtem.role == 'user' -%}
{{ ' ASSISTANT: ' + m.content + eos_token }}
{%- else -%}{{ raise_exception('users and assistants take turns, a system message is the first') }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ ' ASSISTANT:' }}{%- endif -%}";

/// The default assistant's.
const SPRAT: &str = "\
{%- for m in messages -%}
{%- if m.role == 'user' -%}{{ '<|user|>' + m.content }}
{%- elif m.role == 'assistant' -%}{{ '<|assistant|>' + m.content + '<|end|>' }}
{%- else -%}{{ raise_exception('messages are of user and assistant') }}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}";
