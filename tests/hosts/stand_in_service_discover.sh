#!/bin/bash
# Stands in for service-discover on a test machine: `setup-wizard` with its prompts, on its terminal, and what it leaves. What that is lies in
# /root/next: main.json and config.json, and the password of the archive. `mishap` there says what is to go wrong, at which stage: `fail STAGE`;
# `kill STAGE` ends it and who called it, as a crash of the machine would; `hold STAGE` waits for whoever writes to the pipe `held`; `idle start` does
# not start the agent. The addresses that it was told are in `addresses`.
next=/root/next folder=/etc/zextras/service-discover
[ "$1" != version ] || { echo 0.7.2; exit 0; }

fail() { printf 'service-discover: error: %s\r\n' "$1"; exit 1; }
processes() { cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >>$next/processes 2>/dev/null; }
answer() { perl -e 'while (sysread(STDIN, $c, 1)) { last if $c eq "\r"; print $c }'; }  # as a raw terminal sends it
mishap=$(cat $next/mishap 2>/dev/null)
stage() {
    case $mishap in
        "fail $1") rm $next/mishap; fail "unable to go on at $1" ;;
        "kill $1") rm $next/mishap; kill -KILL $PPID $$ ;;
        "hold $1") rm $next/mishap; echo "$1" >$next/holding; cat $next/held >/dev/null; rm $next/holding ;;
    esac
}

printf service-discover >>$next/calls
printf ' %s' "$@" >>$next/calls
[ -t 0 ] && echo ' on a terminal' >>$next/calls || echo ' without a terminal' >>$next/calls
[ -e $folder/main.json ] && fail 'setup of service-discover already performed, manually reset and try again'
[ -z "$(ls /var/lib/service-discover/*.pem 2>/dev/null)" ] || fail 'there are certificates'
stty raw -echo
printf 'eth0 10.0.0.5/24\r\nSpecify the binding address for service discovery: '
address=$(answer)
echo "$address" >>$next/addresses
case " $(hostname -I) " in *" $address "*) ;; *) fail 'invalid binding address selected' ;; esac
stage asking
printf '\r\nInsert the cluster credential password: '
password=$(answer)
processes
[ "$password" = "$(cat $next/password)" ] || fail "unable to read $folder/cluster-credentials.tar.gpg: openpgp: incorrect key"
touch /var/lib/service-discover/consul-agent-ca.pem
stage certificates
install -o service-discover -g service-discover -m 0600 $next/main.json $next/config.json $folder/
stage files
[ "$mishap" = "idle start" ] || systemctl start service-discover || fail 'the service did not start'
stage started
