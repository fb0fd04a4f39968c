# Completion of 'git exp' for bash; written by 'git exp completion bash'.
# git's own completion calls _git_exp; load that one first.

__git_exp_runs ()
{
    git exp log -n 50 2>/dev/null | awk -F '\t' '
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; r = at["run"]; n = at["name"]; next }
        { print $r; if ($n ~ /^[A-Za-z0-9._\/+-]+$/) print $n }'
}

__git_exp_reply ()
{
    local IFS=$'\n'
    compopt +o nospace 2>/dev/null
    COMPREPLY=($(compgen -W "$1" -- "$cur"))
    # bash takes the part of a word after a colon for the word: best:acc
    if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${cur%"${cur##*:}"}"}")
    fi
}

__git_exp_words ()
{
    printf '%s\n' $1
}

_git_exp ()
{
    local i command= after= options= values= kind= seen=
    [[ ${words[0]##*/} == git-exp ]] && seen=1
    for ((i = 1; i < cword; i++)); do
        if [[ -z $seen ]]; then
            [[ ${words[i]} == exp ]] && seen=1
        elif [[ -z $command && ${words[i]} != -* ]]; then
            command=${words[i]}
        elif [[ ${words[i]} == -- ]]; then
            after=1
        fi
    done
    case "$command" in
    '') __git_exp_reply "$(__git_exp_words 'run record replicate import note tag verdict log show best compare metrics plot export diff status watch check decide noise report context papers methods usage loop memorylab checkout push pull init hook skill completion verify reindex rm gc archive recover')"; return ;;
    run)
        options='-h --help --name -m --description --hypothesis --family --tag --param --seed --input --parent --cites --pattern --no-decision --budget --json'
        values=''
        kind=command
        case "$prev" in
        --name) return ;;
        -m|--description) return ;;
        --hypothesis) return ;;
        --family) return ;;
        --tag) return ;;
        --param) return ;;
        --seed) return ;;
        --input) kind=file ;;
        --parent) kind=run values= ;;
        --cites) return ;;
        --pattern) return ;;
        --budget) return ;;
        esac
        ;;
    record)
        options='-h --help -m --description --hypothesis --family --tag --param --seed --input --parent --cites --pattern --no-decision --metric --summary --log --status --error --duration --file --command --json'
        values=''
        kind=command
        case "$prev" in
        -m|--description) return ;;
        --hypothesis) return ;;
        --family) return ;;
        --tag) return ;;
        --param) return ;;
        --seed) return ;;
        --input) kind=file ;;
        --parent) kind=run values= ;;
        --cites) return ;;
        --pattern) return ;;
        --metric) return ;;
        --summary) kind=file ;;
        --log) kind=file ;;
        --status) kind=values values='keep discard crash finished failed crashed interrupted timeout' ;;
        --error) return ;;
        --duration) return ;;
        --file) kind=file ;;
        --command) return ;;
        esac
        ;;
    replicate)
        options='-h --help -n --seeds --link --budget --pattern --no-decision --json'
        values=''
        kind=command
        case "$prev" in
        -n) return ;;
        --seeds) return ;;
        --link) kind=file ;;
        --budget) return ;;
        --pattern) return ;;
        esac
        ;;
    import)
        options='-h --help --format --map --header --skip-bad --dry-run --json'
        values=''
        kind=none
        case "$prev" in
        --format) kind=values values='table jsonl memorylab pi exprag' ;;
        --map) return ;;
        --header) return ;;
        esac
        ;;
    note)
        options='-h --help --json'
        values=''
        kind=run
        ;;
    tag)
        options='-h --help -d --delete --json'
        values=''
        kind=run
        case "$prev" in
        -d|--delete) return ;;
        esac
        ;;
    verdict)
        options='-h --help -m --json'
        values='keep discard crash'
        kind=values
        case "$prev" in
        -m) return ;;
        esac
        ;;
    log)
        options='-h --help -n --max-count --where --since --until --author --sort --columns --only-changed --tree --commit --json'
        values=''
        kind=none
        case "$prev" in
        -n|--max-count) return ;;
        --where) return ;;
        --since) return ;;
        --until) return ;;
        --author) return ;;
        --sort) return ;;
        --columns) return ;;
        --tree) kind=run values= ;;
        --commit) return ;;
        esac
        ;;
    show)
        options='-h --help --file --log --environment --json'
        values=''
        kind=run
        case "$prev" in
        --file) kind=file ;;
        esac
        ;;
    best)
        options='-h --help --min --max --by --where --since --until --author --columns --top --json'
        values=''
        kind=none
        case "$prev" in
        --by) kind=values values='best last mean' ;;
        --where) return ;;
        --since) return ;;
        --until) return ;;
        --author) return ;;
        --columns) return ;;
        --top) return ;;
        esac
        ;;
    compare)
        options='-h --help --where --since --until --author -n --max-count --sort --all --transpose --json'
        values=''
        kind=run
        case "$prev" in
        --where) return ;;
        --since) return ;;
        --until) return ;;
        --author) return ;;
        -n|--max-count) return ;;
        --sort) return ;;
        esac
        ;;
    metrics)
        options='-h --help --points --json'
        values=''
        kind=run
        case "$prev" in
        --points) return ;;
        esac
        ;;
    plot)
        options='-h --help -o --output --smooth --log-x --log-y --x --width --height --json'
        values=''
        kind=run
        case "$prev" in
        -o|--output) kind=file ;;
        --smooth) return ;;
        --x) kind=values values='step time' ;;
        --width) return ;;
        --height) return ;;
        esac
        ;;
    export)
        options='-h --help -o --output --format -n --max-count --where --since --until --author --sort --columns --formula-safe --title --json'
        values=''
        kind=run
        case "$prev" in
        -o|--output) kind=file ;;
        --format) kind=values values='jsonl csv parquet html' ;;
        -n|--max-count) return ;;
        --where) return ;;
        --since) return ;;
        --until) return ;;
        --author) return ;;
        --sort) return ;;
        --columns) return ;;
        --title) return ;;
        esac
        ;;
    diff)
        options='-h --help --stat --name-only --json'
        values=''
        kind=checkout
        ;;
    status)
        options='-h --help --size --json'
        values=''
        kind=none
        ;;
    watch)
        options='-h --help --interval --until-done --json'
        values=''
        kind=run
        case "$prev" in
        --interval) return ;;
        esac
        ;;
    check)
        options='-h --help -m --description --hypothesis --family --tag --param --seed --diff --no-diff --mode --limit --metric --min --max --fail-on-similar --json'
        values=''
        kind=command
        case "$prev" in
        -m|--description) return ;;
        --hypothesis) return ;;
        --family) return ;;
        --tag) return ;;
        --param) return ;;
        --seed) return ;;
        --mode) kind=values values='explore exploit replicate' ;;
        --limit) return ;;
        --metric) return ;;
        esac
        ;;
    decide)
        options='-h --help --all --metric --min --max --dry-run --markdown --json'
        values=''
        kind=run
        case "$prev" in
        --metric) return ;;
        esac
        ;;
    noise)
        options='-h --help --min --max --json'
        values=''
        kind=none
        ;;
    report)
        options='-h --help --since --metric --min --max --markdown --html -o --output --json'
        values=''
        kind=none
        case "$prev" in
        --since) return ;;
        --metric) return ;;
        --html) kind=file ;;
        -o|--output) kind=file ;;
        esac
        ;;
    context)
        options='-h --help --tokens --methods --json'
        values=''
        kind=none
        case "$prev" in
        --tokens) return ;;
        --methods) return ;;
        esac
        ;;
    papers)
        options='-h --help --share-text --title --licence --json -n --limit --reason'
        values='add list show search rm'
        kind=values
        case "$prev" in
        --title) return ;;
        --licence) return ;;
        -n|--limit) return ;;
        --reason) return ;;
        esac
        ;;
    methods)
        options='-h --help --family --own --json -n --limit --explain --explore --max-risk --no-record --template --slug --name --summary --apply --scope --alias --signature --risk --reference --supersedes --file --set --reason'
        values='list show search next used add edit rm'
        kind=values
        case "$prev" in
        --family) return ;;
        -n|--limit) return ;;
        --explore) return ;;
        --max-risk) return ;;
        --slug) return ;;
        --name) return ;;
        --summary) return ;;
        --apply) return ;;
        --scope) return ;;
        --alias) return ;;
        --signature) return ;;
        --risk) return ;;
        --reference) return ;;
        --supersedes) return ;;
        --file) kind=file ;;
        --set) return ;;
        --reason) return ;;
        esac
        ;;
    usage)
        options='-h --help --by --since --json'
        values=''
        kind=none
        case "$prev" in
        --by) kind=values values='model run day session' ;;
        --since) return ;;
        esac
        ;;
    loop)
        options='-h --help --model --base-url --key-env --agent --script --writable --metric --min --max --evaluate --pattern --allow --protect --link --branch --program --runs --time --tokens --money --run-time --failures --context-tokens --mode --no-memory --sandbox --resume --list --dry-run --json'
        values=''
        kind=command
        case "$prev" in
        --model) return ;;
        --base-url) return ;;
        --key-env) return ;;
        --agent) return ;;
        --script) kind=file ;;
        --writable) kind=file ;;
        --metric) return ;;
        --evaluate) return ;;
        --pattern) return ;;
        --allow) kind=file ;;
        --protect) kind=file ;;
        --link) kind=file ;;
        --branch) return ;;
        --program) kind=file ;;
        --runs) return ;;
        --time) return ;;
        --tokens) return ;;
        --money) return ;;
        --run-time) return ;;
        --failures) return ;;
        --context-tokens) return ;;
        --mode) kind=values values='explore exploit' ;;
        --sandbox) kind=values values='auto off require' ;;
        --resume) return ;;
        esac
        ;;
    memorylab)
        options='-h --help --json --description --tags --family --mode --threshold --limit --fail-on-similar --status --hypothesis --notes --log --summary --error --skip-archive --report --since-hours --output'
        values='init check log report'
        kind=values
        case "$prev" in
        --description) return ;;
        --tags) return ;;
        --family) return ;;
        --mode) kind=values values='explore exploit replicate' ;;
        --threshold) return ;;
        --limit) return ;;
        --status) kind=values values='keep discard crash' ;;
        --hypothesis) return ;;
        --notes) return ;;
        --log) kind=file ;;
        --summary) kind=file ;;
        --error) return ;;
        --since-hours) return ;;
        --output) kind=file ;;
        esac
        ;;
    checkout)
        options='-h --help -b --worktree --save --json'
        values=''
        kind=checkout
        case "$prev" in
        -b) return ;;
        --worktree) kind=file ;;
        esac
        ;;
    push)
        options='-h --help --all -n --dry-run --allow --json'
        values=''
        kind=run
        case "$prev" in
        --allow) return ;;
        esac
        ;;
    pull)
        options='-h --help -n --dry-run --json'
        values=''
        kind=none
        ;;
    init)
        options='-h --help --shard --remote --metric --goal --notes-display --no-notes-display --hooks --remove --json'
        values=''
        kind=none
        case "$prev" in
        --shard) return ;;
        --remote) return ;;
        --metric) return ;;
        --goal) kind=values values='min max' ;;
        esac
        ;;
    hook)
        options='-h --help --json'
        values='pre-push pre-receive agent-start'
        kind=values
        ;;
    skill)
        options='-h --help --write --force --json'
        values=''
        kind=none
        case "$prev" in
        --write) kind=file ;;
        esac
        ;;
    completion)
        options='-h --help --json'
        values='bash fish zsh'
        kind=values
        ;;
    verify)
        options='-h --help --repair --json'
        values=''
        kind=none
        ;;
    reindex)
        options='-h --help --json'
        values=''
        kind=none
        ;;
    rm)
        options='-h --help -m --reason -y --yes --json'
        values=''
        kind=run
        case "$prev" in
        -m|--reason) return ;;
        esac
        ;;
    gc)
        options='-h --help --older-than -n --dry-run --json'
        values=''
        kind=none
        case "$prev" in
        --older-than) return ;;
        esac
        ;;
    archive)
        options='-h --help --older-than -n --dry-run --json'
        values=''
        kind=none
        case "$prev" in
        --older-than) return ;;
        esac
        ;;
    recover)
        options='-h --help --json'
        values=''
        kind=none
        ;;
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
}

# For the program under its own name, where git's completion is loaded.
if type __git_complete >/dev/null 2>&1; then
    __git_complete git-exp _git_exp
fi
