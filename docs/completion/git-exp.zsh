#compdef git-exp
#description record, find and restore experiments
# Completion of 'git exp' for zsh; written by 'git exp completion zsh'.
# Put it as _git-exp into a folder of $fpath.

__git_exp_runs () {
  local -a runs
  runs=(latest ${(f)"$(git exp log -n 50 2>/dev/null | awk -F '\t' '
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; r = at["run"]; n = at["name"]; next }
        { print $r; if ($n ~ /^[A-Za-z0-9._\/+-]+$/) print $n }')"})
  compadd -a runs
}

_git-exp () {
  local curcontext="$curcontext" state line ret=1
  local -a commands
  commands=(
    'run:run a command and record it as a run'
    'record:record a run that happened outside'
    'replicate:run the exact code of a run again, with new seeds'
    'import:make runs of what another tool or a ledger recorded'
    'note:add a comment to a run'
    'tag:add or remove tags of a run'
    'verdict:say whether a run is to keep or to discard'
    'log:list runs, the latest first'
    'show:show one run: parameters, metrics, code, environment'
    'best:rank runs by a metric'
    'compare:show what differs between runs, side by side'
    'metrics:print the history of a run'\''s metrics'
    'plot:draw a metric of several runs as curves'
    'export:write runs as JSON lines, CSV, Parquet or one HTML page'
    'diff:compare the code, parameters and metrics of two runs'
    'status:show runs in progress and what the store holds'
    'watch:watch runs in progress, live'
    'check:say whether an idea was tried, and how that went'
    'decide:say what to do next about runs, and write it down'
    'noise:show how much replicates differ, and what another run would buy'
    'report:tell what won, what broke, what to do next, what it cost'
    'context:print the brief for a coding agent'
    'papers:read papers and repositories, and search them'
    'methods:look at methods, add one'\''s own, see what came of them'
    'usage:show what models took: tokens, money and time'
    'loop:run the cycle by itself: propose, guard, run, decide, again'
    'memorylab:MemoryLab'\''s own commands: init, check, log, report'
    'checkout:bring the code of a run back'
    'push:add runs to a remote'
    'pull:bring the runs of a remote'
    'init:look at or choose this clone'\''s settings'
    'hook:do what a git hook or an agent'\''s start hook asks for'
    'skill:write the guide with which coding agents use gitexp'
    'completion:print the completion script for a shell'
    'verify:check that everything recorded is whole, and repair what can be'
    'reindex:make the index anew'
    'rm:withdraw runs'
    'gc:drop what withdrawn runs hold'
    'archive:fold the handles of old runs away'
    'recover:seal runs whose process is gone'
  )
  _arguments -C '1: :->command' '*:: :->arguments' && ret=0
  case $state in
  command)
    _describe -t commands 'git exp command' commands && ret=0
    ;;
  arguments)
    local after=${words[(i)--]}
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
    run)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--name)--name[what to call the run]:N: ' \
        '(-m --description)-m[what is tried]:TEXT: ' \
        '(-m --description)--description[what is tried]:TEXT: ' \
        '(--hypothesis)--hypothesis[what is expected, and why]:TEXT: ' \
        '(--family)--family[the line of ideas that it belongs to]:NAME: ' \
        '*--tag[a label; may be repeated]:TAG: ' \
        '*--param[a parameter; VALUE is JSON or else text, dots in KEY nest; may be repeated]:KEY=VALUE: ' \
        '(--seed)--seed[seed of the random numbers]:N: ' \
        '*--input[data whose fingerprint is recorded; may be repeated]:PATH:_files' \
        '(--parent)--parent[the run that this one continues]:RUN:__git_exp_runs' \
        '*--cites[a method that it puts to work ('\''git exp methods list'\''); may be repeated]:METHOD: ' \
        '(--pattern)--pattern[take metrics from output lines, with the groups '\''key'\'' and '\''value'\'', or one a metric]:REGEX: ' \
        '(--no-decision)--no-decision[do not say what to do next about the run]' \
        '(--budget)--budget[end it after this time\: 300s, 5m, 1h]:TIME: ' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        && ret=0
      ;;
    record)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(-m --description)-m[what is tried]:TEXT: ' \
        '(-m --description)--description[what is tried]:TEXT: ' \
        '(--hypothesis)--hypothesis[what is expected, and why]:TEXT: ' \
        '(--family)--family[the line of ideas that it belongs to]:NAME: ' \
        '*--tag[a label; may be repeated]:TAG: ' \
        '*--param[a parameter; VALUE is JSON or else text, dots in KEY nest; may be repeated]:KEY=VALUE: ' \
        '(--seed)--seed[seed of the random numbers]:N: ' \
        '*--input[data whose fingerprint is recorded; may be repeated]:PATH:_files' \
        '(--parent)--parent[the run that this one continues]:RUN:__git_exp_runs' \
        '*--cites[a method that it puts to work ('\''git exp methods list'\''); may be repeated]:METHOD: ' \
        '(--pattern)--pattern[take metrics from output lines, with the groups '\''key'\'' and '\''value'\'', or one a metric]:REGEX: ' \
        '(--no-decision)--no-decision[do not say what to do next about the run]' \
        '*--metric[a result; VALUE is a number, nan and inf included; may be repeated]:KEY=VALUE: ' \
        '(--summary)--summary[results as a JSON object]:FILE:_files' \
        '(--log)--log[its output, kept as run.log]:FILE:_files' \
        '(--status)--status[how it ended; keep, discard and crash are verdicts, too (default\: finished)]:{keep,discard,crash,finished,failed,crashed,interrupted,timeout}:(keep discard crash finished failed crashed interrupted timeout)' \
        '(--error)--error[what went wrong]:TEXT: ' \
        '(--duration)--duration[how long it took\: 300s, 5m, 1h]:TIME: ' \
        '*--file[a file to keep with the run; may be repeated]:PATH:_files' \
        '(--command)--command[what was run, in a shell'\''s words]:LINE: ' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':NAME: ' \
        && ret=0
      ;;
    replicate)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(-n)-n[how many (default\: 1)]:K: ' \
        '(--seeds)--seeds[these, not the next unused]:A,B,…: ' \
        '*--link[an ignored file or folder that the command needs; may be repeated]:PATH:_files' \
        '(--budget)--budget[end each after this time\: 300s, 5m]:TIME: ' \
        '(--pattern)--pattern[take metrics from output lines, with the groups '\''key'\'' and '\''value'\'', or one a metric]:REGEX: ' \
        '(--no-decision)--no-decision[do not say what to do next about the run]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':RUN:__git_exp_runs' \
        && ret=0
      ;;
    import)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--format)--format[instead of what the source looks like]:{table,jsonl,memorylab,pi,exprag}:(table jsonl memorylab pi exprag)' \
        '*--map[what a column means; may be given several times]:COLUMN=FIELD: ' \
        '(--header)--header[names of a table'\''s columns, instead of its first line]:A,B,…: ' \
        '(--skip-bad)--skip-bad[leave rows out that cannot be imported]' \
        '(--dry-run)--dry-run[say what would be done, only]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        '*:SOURCE: ' \
        && ret=0
      ;;
    note)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':RUN:__git_exp_runs' \
        '*:TEXT: ' \
        && ret=0
      ;;
    tag)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '*-d[remove this tag; may be repeated]:TAG: ' \
        '*--delete[remove this tag; may be repeated]:TAG: ' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':RUN:__git_exp_runs' \
        '*:TAG: ' \
        && ret=0
      ;;
    verdict)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(-m)-m[why, kept as a comment]:REASON: ' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':RUN:__git_exp_runs' \
        ':{keep,discard,crash}:(keep discard crash)' \
        && ret=0
      ;;
    log)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(-n --max-count)-n[at most N runs; also written -N]:N: ' \
        '(-n --max-count)--max-count[at most N runs; also written -N]:N: ' \
        '*--where[only runs that fulfil this\: '\''lr < 0.01 and acc > 0.9'\'' (docs/reference/query.md)]:EXPR: ' \
        '(--since)--since[started then or later\: '\''2 weeks ago'\'']:TIME: ' \
        '(--until)--until[started then or earlier\: 2026-01-31]:TIME: ' \
        '(--author)--author[started by someone whose name or address fits]:REGEX: ' \
        '(--sort)--sort[sort by these instead\: '\''max(acc) desc, params.lr'\'']:A,B,…: ' \
        '(--columns)--columns[show these instead]:A,B,…: ' \
        '(--only-changed)--only-changed[show only columns that are not all the same]' \
        '(--tree)--tree[replicates of RUN\: the same code, parameters and command]:RUN:__git_exp_runs' \
        '(--commit)--commit[runs of exactly the code of this commit]:REV: ' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        && ret=0
      ;;
    show)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--file)--file[print this file that was kept with the run]:PATH:_files' \
        '(--log)--log[print what the run'\''s command printed]' \
        '(--environment)--environment[show the packages and the machine too]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':RUN:__git_exp_runs' \
        && ret=0
      ;;
    best)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--min)--min[lower is better]' \
        '(--max)--max[higher is better]' \
        '(--by)--by[value of a run that counts]:{best,last,mean}:(best last mean)' \
        '*--where[only runs that fulfil this\: '\''lr < 0.01 and acc > 0.9'\'' (docs/reference/query.md)]:EXPR: ' \
        '(--since)--since[started then or later\: '\''2 weeks ago'\'']:TIME: ' \
        '(--until)--until[started then or earlier\: 2026-01-31]:TIME: ' \
        '(--author)--author[started by someone whose name or address fits]:REGEX: ' \
        '(--columns)--columns[show these beside the value]:A,B,…: ' \
        '(--top)--top[rows (default\: 10; all of a Pareto front)]:N: ' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        '*:METRIC: ' \
        && ret=0
      ;;
    compare)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '*--where[only runs that fulfil this\: '\''lr < 0.01 and acc > 0.9'\'' (docs/reference/query.md)]:EXPR: ' \
        '(--since)--since[started then or later\: '\''2 weeks ago'\'']:TIME: ' \
        '(--until)--until[started then or earlier\: 2026-01-31]:TIME: ' \
        '(--author)--author[started by someone whose name or address fits]:REGEX: ' \
        '(-n --max-count)-n[at most N runs]:N: ' \
        '(-n --max-count)--max-count[at most N runs]:N: ' \
        '(--sort)--sort[take them in this order\: '\''max(acc) desc, params.lr'\'']:A,B,…: ' \
        '(--all)--all[show what is the same too]' \
        '(--transpose)--transpose[one row a run]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        '*:RUN:__git_exp_runs' \
        && ret=0
      ;;
    metrics)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--points)--points[at most N points of the history, extremes kept]:N: ' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':RUN:__git_exp_runs' \
        ':KEY: ' \
        && ret=0
      ;;
    plot)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(-o --output)-o[write an .svg or .png file]:FILE:_files' \
        '(-o --output)--output[write an .svg or .png file]:FILE:_files' \
        '(--smooth)--smooth[weight of the past, 0 to below 1]:W: ' \
        '(--log-x)--log-x[logarithmic horizontal axis]' \
        '(--log-y)--log-y[logarithmic vertical axis]' \
        '(--x)--x[horizontal axis\: step, or time since the run started (default\: step)]:{step,time}:(step time)' \
        '(--width)--width[columns; of a file, pixels]:N: ' \
        '(--height)--height[lines; of a file, pixels]:N: ' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':METRIC: ' \
        '*:RUN:__git_exp_runs' \
        && ret=0
      ;;
    export)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(-o --output)-o[write this file]:FILE:_files' \
        '(-o --output)--output[write this file]:FILE:_files' \
        '(--format)--format[by default what FILE'\''s suffix says]:{jsonl,csv,parquet,html}:(jsonl csv parquet html)' \
        '(-n --max-count)-n[at most N runs]:N: ' \
        '(-n --max-count)--max-count[at most N runs]:N: ' \
        '*--where[only runs that fulfil this\: '\''lr < 0.01 and acc > 0.9'\'' (docs/reference/query.md)]:EXPR: ' \
        '(--since)--since[started then or later\: '\''2 weeks ago'\'']:TIME: ' \
        '(--until)--until[started then or earlier\: 2026-01-31]:TIME: ' \
        '(--author)--author[started by someone whose name or address fits]:REGEX: ' \
        '(--sort)--sort[sort by these\: '\''max(acc) desc, params.lr'\'']:A,B,…: ' \
        '(--columns)--columns[of CSV and Parquet, instead of all]:A,B,…: ' \
        '(--formula-safe)--formula-safe[CSV for a spreadsheet\: no text is a formula]' \
        '(--title)--title[of the page (default\: the repository'\''s folder)]:TITLE: ' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        '*:RUN:__git_exp_runs' \
        && ret=0
      ;;
    diff)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--stat)--stat[count changed lines instead]' \
        '(--name-only)--name-only[print the changed paths alone]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':RUN:__git_exp_runs' \
        ':RUN:__git_exp_runs' \
        && ret=0
      ;;
    status)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--size)--size[say what the store weighs (may take a while)]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        && ret=0
      ;;
    watch)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--interval)--interval[time between two drawings, or between two lines about one run (default\: 1)]:SECONDS: ' \
        '(--until-done)--until-done[end when all watched runs have ended]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        '*:RUN:__git_exp_runs' \
        && ret=0
      ;;
    check)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(-m --description)-m[what is tried]:TEXT: ' \
        '(-m --description)--description[what is tried]:TEXT: ' \
        '(--hypothesis)--hypothesis[what is expected, and why]:TEXT: ' \
        '(--family)--family[the line of ideas that it belongs to]:NAME: ' \
        '*--tag[a label; may be repeated]:TAG: ' \
        '*--param[a parameter; VALUE is JSON or else text, dots in KEY nest; may be repeated]:KEY=VALUE: ' \
        '(--seed)--seed[seed of the random numbers]:N: ' \
        '(--diff --no-diff)--diff[take the work tree'\''s code for part of the idea (default\: if it is not HEAD'\''s)]' \
        '(--diff --no-diff)--no-diff[take the work tree'\''s code for part of the idea (default\: if it is not HEAD'\''s)]' \
        '(--mode)--mode[what the next runs are for]:{explore,exploit,replicate}:(explore exploit replicate)' \
        '(--limit)--limit[runs to name (default 3)]:N: ' \
        '(--metric)--metric[judge runs by this metric]:NAME: ' \
        '(--min)--min[lower is better]' \
        '(--max)--max[higher is better]' \
        '(--fail-on-similar)--fail-on-similar[exit with 2 where it is blocked]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':TEXT: ' \
        && ret=0
      ;;
    decide)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--all)--all[every run without a decision, or with a stale one]' \
        '(--metric)--metric[the goal metric (default\: exprag.metric)]:NAME: ' \
        '(--min)--min[lower is better]' \
        '(--max)--max[higher is better]' \
        '(--dry-run)--dry-run[write nothing]' \
        '(--markdown)--markdown[print whole packets, as Markdown]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        '*:RUN:__git_exp_runs' \
        && ret=0
      ;;
    noise)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--min)--min[lower is better]' \
        '(--max)--max[higher is better]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':METRIC: ' \
        && ret=0
      ;;
    report)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--since)--since[a time, or a run\: what started after it]:T: ' \
        '(--metric)--metric[what runs are judged by]:M: ' \
        '(--min)--min[lower is better]' \
        '(--max)--max[higher is better]' \
        '(--markdown)--markdown[print Markdown (the default)]' \
        '(--html)--html[write one HTML page]:FILE:_files' \
        '(-o --output)-o[write Markdown to this file]:FILE:_files' \
        '(-o --output)--output[write Markdown to this file]:FILE:_files' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        && ret=0
      ;;
    context)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--tokens)--tokens[length (default\: 2000)]:N: ' \
        '(--methods)--methods[suggest methods, for this purpose]:QUERY: ' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        && ret=0
      ;;
    papers)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--share-text)--share-text[share the full text, not excerpts only]' \
        '(--title)--title[instead of the title that it gives itself]:TEXT: ' \
        '(--licence)--licence[the licence that it is under]:TEXT: ' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        '(-n --limit)-n[passages to show (default\: 10)]:N: ' \
        '(-n --limit)--limit[passages to show (default\: 10)]:N: ' \
        '(--reason)--reason[why]:TEXT: ' \
        ':COMMAND:(add list show search rm)' \
        && ret=0
      ;;
    methods)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--family)--family[what it replaces or competes with, such as optimizer]:TEXT: ' \
        '(--own)--own[only those that are not of the pack]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        '(-n --limit)-n[methods to show (default\: 5)]:N: ' \
        '(-n --limit)--limit[methods to show (default\: 5)]:N: ' \
        '(--explain)--explain[show each term of the ranking]' \
        '(--explore)--explore[draw each value from what it may be]:SEED: ' \
        '(--max-risk)--max-risk[leave out what is riskier, 0 to 1]:P: ' \
        '(--no-record)--no-record[do not record what was looked up and shown]' \
        '(--template)--template[print a card to fill in]' \
        '(--slug)--slug[its id (default\: made of the name)]:SLUG: ' \
        '(--name)--name[as people call it]:TEXT: ' \
        '(--summary)--summary[what it is and why it helps]:TEXT: ' \
        '(--apply)--apply[how to put it into a training script]:TEXT: ' \
        '(--scope)--scope[where it was shown to help]:TEXT: ' \
        '*--alias[another name]:TEXT: ' \
        '*--signature[words that must all stand in a change, such as '\''silu gate_proj'\'']:TEXT: ' \
        '*--risk[what goes wrong]:TEXT: ' \
        '*--reference[an arXiv id, the id of a paper of the library, or an address]:TEXT: ' \
        '*--supersedes[slug of what it is meant to replace]:TEXT: ' \
        '(--file)--file[take this card, or - for standard input]:FILE:_files' \
        '*--set[change one field]:FIELD=VALUE: ' \
        '(--reason)--reason[why]:TEXT: ' \
        ':COMMAND:(list show search next used add edit rm)' \
        && ret=0
      ;;
    usage)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--by)--by[what to sum up by (default\: model)]:{model,run,day,session}:(model run day session)' \
        '(--since)--since[only calls after this time]:T: ' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        && ret=0
      ;;
    loop)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--model)--model[a model behind an endpoint]:NAME: ' \
        '(--base-url)--base-url[the endpoint (default https\://api.openai.com/v1)]:URL: ' \
        '(--key-env)--key-env[the environment variable with the key (default OPENAI_API_KEY for OpenAI)]:NAME: ' \
        '(--agent)--agent[a coding agent that edits files, such as "claude -p"]:CMD: ' \
        '(--script)--script[proposals from a file, one JSON a line]:FILE:_files' \
        '*--writable[what an agent may write to in a sandbox beside the worktree; those that are known of it (~/.claude, ~/.codex, ~/.gemini) by default; may be repeated]:PATH:_files' \
        '(--metric)--metric[what counts (default\: exprag.metric)]:NAME: ' \
        '(--min)--min[lower is better]' \
        '(--max)--max[higher is better]' \
        '(--evaluate)--evaluate[measure with this after the training; only it counts]:CMD: ' \
        '(--pattern)--pattern[take metrics from output lines, as '\''git exp run'\'' does]:REGEX: ' \
        '*--allow[what may change (default\: all that git tracks); may be repeated]:PATH:_files' \
        '*--protect[what must not change, and is checked; may be repeated]:PATH:_files' \
        '*--link[an ignored file or folder that runs need; may be repeated]:PATH:_files' \
        '(--branch)--branch[the session'\''s branch (exp/SESSION)]:NAME: ' \
        '(--program)--program[your instructions (default\: program.md if there is one)]:FILE:_files' \
        '(--runs)--runs[runs, failed ones included]:N: ' \
        '(--time)--time[in all\: 90s, 30m, 8h]:TIME: ' \
        '(--tokens)--tokens[sent and received\: 200k, 2M]:N: ' \
        '(--money)--money[US dollars]:USD: ' \
        '(--run-time)--run-time[for one run (600s)]:TIME: ' \
        '(--failures)--failures[proposals in a row that give no value (5)]:N: ' \
        '(--context-tokens)--context-tokens[tokens of what is known, in each prompt (default 2000)]:N: ' \
        '(--mode)--mode[what the guard lets pass (exploit)]:{explore,exploit}:(explore exploit)' \
        '(--no-memory)--no-memory[suggest no methods of the library]' \
        '(--sandbox)--sandbox[lock agents and runs in with bubblewrap\: where it is there (auto), never, or else do not begin]:{auto,off,require}:(auto off require)' \
        '(--resume)--resume[go on with a session, the latest by default; budgets can be changed]:SESSION: ' \
        '(--list)--list[list the sessions]' \
        '(--dry-run)--dry-run[show the first prompt and what would run]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        && ret=0
      ;;
    memorylab)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        '(--description)--description[what is tried]:TEXT: ' \
        '*--tags[separated by commas]:A,B: ' \
        '(--family)--family[the line of ideas that it belongs to]:NAME: ' \
        '(--mode)--mode[(default\: exploit)]:{explore,exploit,replicate}:(explore exploit replicate)' \
        '(--threshold)--threshold[similarity from which on runs count (default\: 0.62)]:X: ' \
        '(--limit)--limit[matches to show (default\: 3)]:N: ' \
        '(--fail-on-similar)--fail-on-similar[exit with 2 where the decision is block]' \
        '(--status)--status[the verdict]:{keep,discard,crash}:(keep discard crash)' \
        '(--hypothesis)--hypothesis[what was expected]:TEXT: ' \
        '(--notes)--notes[what else is to be remembered]:TEXT: ' \
        '(--log)--log[(default\: run.log)]:FILE:_files' \
        '(--summary)--summary[JSON file of metrics, which goes before the log (default\: $AUTORESEARCH_SUMMARY_PATH)]:FILE:_files' \
        '(--error)--error[why it crashed (default\: from the log)]:TEXT: ' \
        '(--skip-archive)--skip-archive[write no folder of the run]' \
        '(--report)--report[write the report too]' \
        '(--since-hours)--since-hours[hours that the report covers (default\: 16)]:H: ' \
        '(--output)--output[write a copy to this file]:FILE:_files' \
        ':COMMAND:(init check log report)' \
        && ret=0
      ;;
    checkout)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(-b)-b[make this branch there]:NAME: ' \
        '(--worktree)--worktree[put the code into a new linked worktree]:DIR:_files' \
        '(--save)--save[keep local changes first]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':RUN:__git_exp_runs' \
        && ret=0
      ;;
    push)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--all)--all[other people'\''s shards too]' \
        '(-n --dry-run)-n[say what would be sent to the remote as it was last seen; send nothing]' \
        '(-n --dry-run)--dry-run[say what would be sent to the remote as it was last seen; send nothing]' \
        '*--allow[let this finding leave; it is recorded (may be repeated)]:FINGERPRINT: ' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':REMOTE: ' \
        '*:RUN:__git_exp_runs' \
        && ret=0
      ;;
    pull)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(-n --dry-run)-n[fetch, say what is new, and unite nothing]' \
        '(-n --dry-run)--dry-run[fetch, say what is new, and unite nothing]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':REMOTE: ' \
        && ret=0
      ;;
    init)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--shard)--shard[name of this clone'\''s share of the store]:NAME: ' \
        '(--remote)--remote[the remote that push and pull take]:NAME: ' \
        '(--metric)--metric[the metric that --goal speaks of]:NAME: ' \
        '(--goal)--goal[which direction is better]:{min,max}:(min max)' \
        '(--notes-display --no-notes-display)--notes-display[let '\''git log'\'' show the facts of runs, or not]' \
        '(--notes-display --no-notes-display)--no-notes-display[let '\''git log'\'' show the facts of runs, or not]' \
        '(--hooks)--hooks[put the git hook in place]' \
        '(--remove)--remove[with --hooks\: take it out again]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        && ret=0
      ;;
    hook)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':HOOK:(pre-push pre-receive agent-start)' \
        '*:REMOTE URL: ' \
        && ret=0
      ;;
    skill)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--write)--write[write it there, not to stdout]:PATH:_files' \
        '(--force)--force[replace whatever PATH is now]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        && ret=0
      ;;
    completion)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        ':SHELL:(bash fish zsh)' \
        && ret=0
      ;;
    verify)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--repair)--repair[set right what can be set right]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        && ret=0
      ;;
    reindex)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        && ret=0
      ;;
    rm)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(-m --reason)-m[why, for those who look later]:TEXT: ' \
        '(-m --reason)--reason[why, for those who look later]:TEXT: ' \
        '(-y --yes)-y[do not ask on a terminal]' \
        '(-y --yes)--yes[do not ask on a terminal]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        '*:RUN:__git_exp_runs' \
        && ret=0
      ;;
    gc)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--older-than)--older-than[only runs that were removed so long ago\: 30d, 0d; 2 weeks by default]:AGE: ' \
        '(-n --dry-run)-n[change nothing]' \
        '(-n --dry-run)--dry-run[change nothing]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        && ret=0
      ;;
    archive)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--older-than)--older-than[runs that began so long ago\: 30d, 2 weeks; '\''exprag.archiveAfter'\'' or 30 days by default]:AGE: ' \
        '(-n --dry-run)-n[change nothing]' \
        '(-n --dry-run)--dry-run[change nothing]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        && ret=0
      ;;
    recover)
      _arguments -s \
        '(-h --help)-h[show this help message and exit]' \
        '(-h --help)--help[show this help message and exit]' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
        && ret=0
      ;;
    esac
    ;;
  esac
  return ret
}

if [[ $funcstack[1] == _git-exp ]]; then
  _git-exp "$@"
else
  compdef _git-exp git-exp
fi
