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
        '(--budget)--budget[end it after this time\: 300s, 5m, 1h]:TIME: ' \
        '(--pattern)--pattern[take metrics from output lines, with the groups '\''key'\'' and '\''value'\'', or one a metric]:REGEX: ' \
        '(--parent)--parent[the run that this one continues]:RUN:__git_exp_runs' \
        '(--json)--json[print JSON (docs/reference/json.md)]' \
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
