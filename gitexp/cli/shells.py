"""Completion scripts for bash, zsh and fish, made of what the argument parsers say.

They complete commands, options, the few allowed values of an option, and RUNs: ids and plain
names of the latest runs, asked of ``git exp log``. All go through git's own completion, and
serve ``git-exp`` as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from gitexp.cli.parsers import Argument, Description

_RUN_LIST = r"""git exp log -n 50 2>/dev/null | awk -F '\t' '
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; r = at["run"]; n = at["name"]; next }
        { print $r; if ($n ~ /^[A-Za-z0-9._\/+-]+$/) print $n }'"""
_FILE_VALUES = ("PATH", "DIR", "FILE")


def bash(commands: Sequence[Description]) -> str:
    """Return the script for bash: the function ``_git_exp`` that git's completion calls."""
    cases = "".join(
        f"    {d.command.name})\n"
        f"        options='{' '.join(_flags(d))}'\n"
        f"        values='{' '.join(_positional_values(d))}'\n"
        f"        kind={_kind(d)}\n"
        f"{_bash_value_options(d)}"
        f"        ;;\n"
        for d in commands
    )
    names = " ".join(d.command.name for d in commands)
    return _BASH.replace("@COMMANDS@", names).replace("@CASES@", cases.rstrip("\n"))


def _bash_value_options(description: Description) -> str:
    """Return the lines that handle a word which is the value of the option before it."""
    lines = "".join(
        f"        {'|'.join(option.flags)}) {_bash_action(option)} ;;\n"
        for option in description.all_options
        if option.value
    )
    return f'        case "$prev" in\n{lines}        esac\n' if lines else ""


def _bash_action(option: Argument) -> str:
    if option.choices:
        return f"kind=values values='{' '.join(option.choices)}'"
    if option.value == "RUN":
        return "kind=run values="
    return "kind=file" if option.value in _FILE_VALUES else "return"


def zsh(commands: Sequence[Description]) -> str:
    """Return the script for zsh: the function ``_git-exp`` that zsh's own ``_git`` calls."""
    listed = "\n".join(f"    {_quoted(f'{d.command.name}:{d.command.help}')}" for d in commands)
    cases = "".join(
        f"    {d.command.name})\n      _arguments -s \\\n"
        + "".join(f"        {line} \\\n" for line in _zsh_arguments(d))
        + "        && ret=0\n      ;;\n"
        for d in commands
    )
    return _ZSH.replace("@COMMANDS@", listed).replace("@CASES@", cases.rstrip("\n"))


def _zsh_arguments(description: Description) -> list[str]:
    lines = []
    for option in description.all_options:
        for flag in option.flags:
            others = "*" if option.many else f"({' '.join(option.flags)})"
            value = f":{option.value}:{_zsh_action(option)}" if option.value else ""
            lines.append(_quoted(f"{others}{flag}[{_zsh_text(option.help)}]{value}"))
    for positional in description.positionals:
        place = "*" if positional.many else ""
        lines.append(_quoted(f"{place}:{positional.value}:{_zsh_action(positional)}"))
    return lines


def _zsh_action(argument: Argument) -> str:
    if argument.choices:
        return f"({' '.join(argument.choices)})"
    if argument.value.strip(".…") == "RUN":
        return "__git_exp_runs"
    return "_files" if argument.value in _FILE_VALUES else " "


def _zsh_text(text: str) -> str:
    return re.sub(r"([\[\]:\\])", r"\\\1", text)


def fish(commands: Sequence[Description]) -> str:
    """Return the script for fish: completions of ``git`` that hold after ``exp``."""
    lines = [
        f"__git_exp_complete {_FISH_NO_COMMAND} -f -a {d.command.name} -d {_fish(d.command.help)}"
        for d in commands
    ]
    for description in commands:
        where = f"'__git_exp_using {description.command.name}'"
        lines += [_fish_option(where, option) for option in description.all_options]
        kind = _kind(description)
        if kind in ("run", "checkout"):
            lines.append(f"__git_exp_complete {where} -f -a '(__git_exp_runs)'")
        elif kind == "values":
            values = " ".join(_positional_values(description))
            lines.append(f"__git_exp_complete {where} -f -a {_fish(values)}")
    return _FISH.replace("@LINES@", "\n".join(lines))


_FISH_NO_COMMAND = "'__git_exp_using'"


def _fish_option(where: str, option: Argument) -> str:
    names = " ".join(
        f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags
    )
    value = ""
    if option.choices:
        value = f" -x -a {_fish(' '.join(option.choices))}"
    elif option.value == "RUN":
        value = " -x -a '(__git_exp_runs)'"
    elif option.value:
        value = " -r" if option.value in _FILE_VALUES else " -x"
    return f"__git_exp_complete {where} {names}{value} -d {_fish(option.help)}"


def _fish(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _quoted(text: str) -> str:
    escaped = text.replace("'", "'\\''")
    return f"'{escaped}'"


def _flags(description: Description) -> list[str]:
    return [flag for option in description.all_options for flag in option.flags]


def _positional_values(description: Description) -> list[str]:
    return [choice for argument in description.positionals for choice in argument.choices]


def _kind(description: Description) -> str:
    """Return what the words after a command are, for the scripts to tell apart."""
    if "-- CMD…" in description.usage:
        return "command"
    if "[-- PATH…]" in description.usage:
        return "checkout"
    if _positional_values(description):
        return "values"
    return "run" if any(a.value == "RUN" for a in description.positionals) else "none"


SCRIPTS: dict[str, Callable[[Sequence[Description]], str]] = {
    "bash": bash,
    "zsh": zsh,
    "fish": fish,
}

_BASH = rf"""# Completion of 'git exp' for bash; written by 'git exp completion bash'.
# git's own completion calls _git_exp; load that one first.

__git_exp_runs ()
{{
    {_RUN_LIST}
}}

__git_exp_reply ()
{{
    local IFS=$'\n'
    compopt +o nospace 2>/dev/null
    COMPREPLY=($(compgen -W "$1" -- "$cur"))
    # bash takes the part of a word after a colon for the word: best:acc
    if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${{COMPREPLY[@]#"${{cur%"${{cur##*:}}"}}"}}")
    fi
}}

__git_exp_words ()
{{
    printf '%s\n' $1
}}

_git_exp ()
{{
    local i command= after= options= values= kind= seen=
    [[ ${{words[0]##*/}} == git-exp ]] && seen=1
    for ((i = 1; i < cword; i++)); do
        if [[ -z $seen ]]; then
            [[ ${{words[i]}} == exp ]] && seen=1
        elif [[ -z $command && ${{words[i]}} != -* ]]; then
            command=${{words[i]}}
        elif [[ ${{words[i]}} == -- ]]; then
            after=1
        fi
    done
    case "$command" in
    '') __git_exp_reply "$(__git_exp_words '@COMMANDS@')"; return ;;
@CASES@
    esac
    if [[ -n $after ]]; then
        compopt -o bashdefault -o default 2>/dev/null
        COMPREPLY=($(compgen -f -- "$cur"))
        return
    fi
    if [[ $cur == -* && $kind != file ]]; then
        __git_exp_reply "$(__git_exp_words "$options")"
        return
    fi
    case "$kind" in
    run|checkout) __git_exp_reply "$(__git_exp_words "latest $values"; __git_exp_runs)" ;;
    values) __git_exp_reply "$(__git_exp_words "$values")" ;;
    file) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")) ;;
    esac
}}

# For the program under its own name, where git's completion is loaded.
if type __git_complete >/dev/null 2>&1; then
    __git_complete git-exp _git_exp
fi
"""

_ZSH = rf"""#compdef git-exp
#description record, find and restore experiments
# Completion of 'git exp' for zsh; written by 'git exp completion zsh'.
# Put it as _git-exp into a folder of $fpath.

__git_exp_runs () {{
  local -a runs
  runs=(latest ${{(f)"$({_RUN_LIST})"}})
  compadd -a runs
}}

_git-exp () {{
  local curcontext="$curcontext" state line ret=1
  local -a commands
  commands=(
@COMMANDS@
  )
  _arguments -C '1: :->command' '*:: :->arguments' && ret=0
  case $state in
  command)
    _describe -t commands 'git exp command' commands && ret=0
    ;;
  arguments)
    local after=${{words[(i)--]}}
    if (( after < CURRENT )); then
      if [[ $words[1] == run ]]; then
        shift $after words
        (( CURRENT -= after ))
        _normal && ret=0
      else
        _files && ret=0
      fi
      return ret
    fi
    case $words[1] in
@CASES@
    esac
    ;;
  esac
  return ret
}}

if [[ $funcstack[1] == _git-exp ]]; then
  _git-exp "$@"
else
  compdef _git-exp git-exp
fi
"""

_FISH = rf"""# Completion of 'git exp' for fish; written by 'git exp completion fish'.

function __git_exp_runs
    echo latest
    {_RUN_LIST}
end

# Succeeds when the command line is one of 'git exp' with this command, or without any yet.
function __git_exp_using
    set -l words (commandline -opc)
    if string match -qr '(^|/)git-exp$' -- $words[1]
        set -e words[1]
    else
        while set -q words[1]; and test "$words[1]" != exp
            set -e words[1]
        end
        set -q words[1]; or return 1
        set -e words[1]
    end
    if set -q argv[1]
        test "$words[1]" = "$argv[1]"; and not contains -- -- $words
    else
        not set -q words[1]
    end
end

function __git_exp_complete
    complete -c git -n '__fish_seen_subcommand_from exp; and '$argv[1] $argv[2..-1]
    complete -c git-exp -n $argv[1] $argv[2..-1]
end

@LINES@
"""
