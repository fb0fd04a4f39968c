# Completion of 'git exp' for fish; written by 'git exp completion fish'.

function __git_exp_runs
    echo latest
    git exp log -n 50 2>/dev/null | awk -F '\t' '
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; r = at["run"]; n = at["name"]; next }
        { print $r; if ($n ~ /^[A-Za-z0-9._\/+-]+$/) print $n }'
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

__git_exp_complete '__git_exp_using' -f -a run -d 'run a command and record it as a run'
__git_exp_complete '__git_exp_using' -f -a note -d 'add a comment to a run'
__git_exp_complete '__git_exp_using' -f -a tag -d 'add or remove tags of a run'
__git_exp_complete '__git_exp_using' -f -a verdict -d 'say whether a run is to keep or to discard'
__git_exp_complete '__git_exp_using' -f -a log -d 'list runs, the latest first'
__git_exp_complete '__git_exp_using' -f -a show -d 'show one run: parameters, metrics, code, environment'
__git_exp_complete '__git_exp_using' -f -a best -d 'rank runs by a metric'
__git_exp_complete '__git_exp_using' -f -a metrics -d 'print the history of a run\'s metrics'
__git_exp_complete '__git_exp_using' -f -a diff -d 'compare the code, parameters and metrics of two runs'
__git_exp_complete '__git_exp_using' -f -a status -d 'show runs in progress and what the store holds'
__git_exp_complete '__git_exp_using' -f -a checkout -d 'bring the code of a run back'
__git_exp_complete '__git_exp_using' -f -a init -d 'look at or choose this clone\'s settings'
__git_exp_complete '__git_exp_using' -f -a skill -d 'write the guide with which coding agents use gitexp'
__git_exp_complete '__git_exp_using' -f -a completion -d 'print the completion script for a shell'
__git_exp_complete '__git_exp_using' -f -a recover -d 'seal runs whose process is gone'
__git_exp_complete '__git_exp_using run' -s h -l help -d 'show this help message and exit'
__git_exp_complete '__git_exp_using run' -l name -x -d 'what to call the run'
__git_exp_complete '__git_exp_using run' -s m -l description -x -d 'what is tried'
__git_exp_complete '__git_exp_using run' -l hypothesis -x -d 'what is expected, and why'
__git_exp_complete '__git_exp_using run' -l family -x -d 'the line of ideas that it belongs to'
__git_exp_complete '__git_exp_using run' -l tag -x -d 'a label; may be repeated'
__git_exp_complete '__git_exp_using run' -l param -x -d 'a parameter; VALUE is JSON or else text, dots in KEY nest; may be repeated'
__git_exp_complete '__git_exp_using run' -l seed -x -d 'seed of the random numbers'
__git_exp_complete '__git_exp_using run' -l input -r -d 'data whose fingerprint is recorded; may be repeated'
__git_exp_complete '__git_exp_using run' -l budget -x -d 'end it after this time: 300s, 5m, 1h'
__git_exp_complete '__git_exp_using run' -l pattern -x -d 'take metrics from output lines, with the groups \'key\' and \'value\', or one a metric'
__git_exp_complete '__git_exp_using run' -l parent -x -a '(__git_exp_runs)' -d 'the run that this one continues'
__git_exp_complete '__git_exp_using run' -l json -d 'print JSON (docs/reference/json.md)'
__git_exp_complete '__git_exp_using note' -s h -l help -d 'show this help message and exit'
__git_exp_complete '__git_exp_using note' -l json -d 'print JSON (docs/reference/json.md)'
__git_exp_complete '__git_exp_using note' -f -a '(__git_exp_runs)'
__git_exp_complete '__git_exp_using tag' -s h -l help -d 'show this help message and exit'
__git_exp_complete '__git_exp_using tag' -s d -l delete -x -d 'remove this tag; may be repeated'
__git_exp_complete '__git_exp_using tag' -l json -d 'print JSON (docs/reference/json.md)'
__git_exp_complete '__git_exp_using tag' -f -a '(__git_exp_runs)'
__git_exp_complete '__git_exp_using verdict' -s h -l help -d 'show this help message and exit'
__git_exp_complete '__git_exp_using verdict' -s m -x -d 'why, kept as a comment'
__git_exp_complete '__git_exp_using verdict' -l json -d 'print JSON (docs/reference/json.md)'
__git_exp_complete '__git_exp_using verdict' -f -a 'keep discard crash'
__git_exp_complete '__git_exp_using log' -s h -l help -d 'show this help message and exit'
__git_exp_complete '__git_exp_using log' -s n -l max-count -x -d 'at most N runs; also written -N'
__git_exp_complete '__git_exp_using log' -l since -x -d 'started then or later: \'2 weeks ago\''
__git_exp_complete '__git_exp_using log' -l until -x -d 'started then or earlier: 2026-01-31'
__git_exp_complete '__git_exp_using log' -l columns -x -d 'show these instead'
__git_exp_complete '__git_exp_using log' -l json -d 'print JSON (docs/reference/json.md)'
__git_exp_complete '__git_exp_using show' -s h -l help -d 'show this help message and exit'
__git_exp_complete '__git_exp_using show' -l file -r -d 'print this file that was kept with the run'
__git_exp_complete '__git_exp_using show' -l log -d 'print what the run\'s command printed'
__git_exp_complete '__git_exp_using show' -l environment -d 'show the packages and the machine too'
__git_exp_complete '__git_exp_using show' -l json -d 'print JSON (docs/reference/json.md)'
__git_exp_complete '__git_exp_using show' -f -a '(__git_exp_runs)'
__git_exp_complete '__git_exp_using best' -s h -l help -d 'show this help message and exit'
__git_exp_complete '__git_exp_using best' -l min -d 'lower is better'
__git_exp_complete '__git_exp_using best' -l max -d 'higher is better'
__git_exp_complete '__git_exp_using best' -l by -x -a 'best last mean' -d 'value of a run that counts'
__git_exp_complete '__git_exp_using best' -l since -x -d 'started then or later: \'2 weeks ago\''
__git_exp_complete '__git_exp_using best' -l columns -x -d 'show these beside the value'
__git_exp_complete '__git_exp_using best' -l top -x -d 'rows (default: 10)'
__git_exp_complete '__git_exp_using best' -l json -d 'print JSON (docs/reference/json.md)'
__git_exp_complete '__git_exp_using metrics' -s h -l help -d 'show this help message and exit'
__git_exp_complete '__git_exp_using metrics' -l json -d 'print JSON (docs/reference/json.md)'
__git_exp_complete '__git_exp_using metrics' -f -a '(__git_exp_runs)'
__git_exp_complete '__git_exp_using diff' -s h -l help -d 'show this help message and exit'
__git_exp_complete '__git_exp_using diff' -l stat -d 'count changed lines instead'
__git_exp_complete '__git_exp_using diff' -l name-only -d 'print the changed paths alone'
__git_exp_complete '__git_exp_using diff' -l json -d 'print JSON (docs/reference/json.md)'
__git_exp_complete '__git_exp_using diff' -f -a '(__git_exp_runs)'
__git_exp_complete '__git_exp_using status' -s h -l help -d 'show this help message and exit'
__git_exp_complete '__git_exp_using status' -l size -d 'say what the store weighs (may take a while)'
__git_exp_complete '__git_exp_using status' -l json -d 'print JSON (docs/reference/json.md)'
__git_exp_complete '__git_exp_using checkout' -s h -l help -d 'show this help message and exit'
__git_exp_complete '__git_exp_using checkout' -s b -x -d 'make this branch there'
__git_exp_complete '__git_exp_using checkout' -l worktree -r -d 'put the code into a new linked worktree'
__git_exp_complete '__git_exp_using checkout' -l save -d 'keep local changes first'
__git_exp_complete '__git_exp_using checkout' -l json -d 'print JSON (docs/reference/json.md)'
__git_exp_complete '__git_exp_using checkout' -f -a '(__git_exp_runs)'
__git_exp_complete '__git_exp_using init' -s h -l help -d 'show this help message and exit'
__git_exp_complete '__git_exp_using init' -l shard -x -d 'name of this clone\'s share of the store'
__git_exp_complete '__git_exp_using init' -l metric -x -d 'the metric that --goal speaks of'
__git_exp_complete '__git_exp_using init' -l goal -x -a 'min max' -d 'which direction is better'
__git_exp_complete '__git_exp_using init' -l notes-display -l no-notes-display -d 'let \'git log\' show the facts of runs, or not'
__git_exp_complete '__git_exp_using init' -l json -d 'print JSON (docs/reference/json.md)'
__git_exp_complete '__git_exp_using skill' -s h -l help -d 'show this help message and exit'
__git_exp_complete '__git_exp_using skill' -l write -r -d 'write it there, not to stdout'
__git_exp_complete '__git_exp_using skill' -l force -d 'replace whatever PATH is now'
__git_exp_complete '__git_exp_using skill' -l json -d 'print JSON (docs/reference/json.md)'
__git_exp_complete '__git_exp_using completion' -s h -l help -d 'show this help message and exit'
__git_exp_complete '__git_exp_using completion' -l json -d 'print JSON (docs/reference/json.md)'
__git_exp_complete '__git_exp_using completion' -f -a 'bash fish zsh'
__git_exp_complete '__git_exp_using recover' -s h -l help -d 'show this help message and exit'
__git_exp_complete '__git_exp_using recover' -l json -d 'print JSON (docs/reference/json.md)'
