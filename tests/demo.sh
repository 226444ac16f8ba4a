#!/usr/bin/env bash
# The main job end to end: a tree with awkward names goes to two stores and comes back the same.
set -euo pipefail
n2s=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export N2S_HOME=$work/home
cd "$work"
say() { printf '\n== %s\n' "$*"; }

say "A sample tree: accents in both Unicode forms, links, an empty directory, a 40 MiB file"
mkdir -p "tree/été" tree/empty tree/deep/er
printf 'one\n' >"tree/été/caf$(printf '\303\251')"
printf 'two\n' >"tree/été/cafe$(printf '\314\201')"
printf 'not UTF-8\n' >"tree/$(printf 'b\377d')"
head -c 41943040 /dev/urandom >tree/deep/er/big
ln tree/deep/er/big tree/hard-link
ln -s ../nowhere tree/dangling
for i in $(seq 300); do printf 'file %d\n' "$i" >"tree/deep/$i"; done
chmod 2750 tree/deep

say "Two stores"
"$n2s" backends add disk-one --path "$work/disk-one"
"$n2s" backends add disk-two --path "$work/disk-two"

say "Push"
"$n2s" push --project demo --dataset tree --snapshot first tree
say "Push again: nothing has changed"
"$n2s" push --project demo --dataset tree tree
say "Status"
"$n2s" status

say "Pull the first version from the second store, with the first one gone"
mv disk-one disk-one.gone
"$n2s" pull --project demo --dataset tree --snapshot first --target back
diff -r --no-dereference tree back
diff <(cd tree && find . ! -type d -printf '%P %y %m %U %G %T@ %s %n %l\n' | LC_ALL=C sort) \
     <(cd back && find . ! -type d -printf '%P %y %m %U %G %T@ %s %n %l\n' | LC_ALL=C sort)
diff <(cd tree && find . -type d -printf '%P %m %U %G %T@\n' | LC_ALL=C sort) \
     <(cd back && find . -type d -printf '%P %m %U %G %T@\n' | LC_ALL=C sort)
printf '\nThe tree came back as it was, every name, time, mode and link of it.\n'
