-- A message for queues and other replicas, if its guard has not been passed yet.
-- ARGV: replica, token, guard kind ('' none, i incoming id, w will, l left by another, o once), guard client, guard epoch, guard id,
--   message, retain ('' no, s set, c clear), topic, queue messages, queue bytes, retained, retained bytes,
--   inbox entries, inbox bytes, appends, (client, how)*, forwards, (replica)*, directs, (replica, client, how)*, batch
-- Answers: status (0 done, 1 done but not retained, 2 done by the same token before, -1 fenced, -2 repeated, -3 not done:
--   an inbox has no room), replicas passed over, numbers
local me, token, guard, client, epoch, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local message, retain, topic = ARGV[7], ARGV[8], ARGV[9]
local most, batch = tonumber(ARGV[14]), ARGV[#ARGV]
local appends_at = 16
local appends = tonumber(ARGV[appends_at])
local forwards_at = appends_at + 1 + 2 * appends
local forwards = tonumber(ARGV[forwards_at])
local directs_at = forwards_at + 1 + forwards
local directs = tonumber(ARGV[directs_at])
-- Who listens, and has room. A message of QoS 0 passes over who has none; any other waits as a whole, and with it what
-- comes behind it in its batch, so that a publisher's messages keep their order.
local open, crowded = {}, 0
for n = 1, forwards + directs do
  local to = n <= forwards and ARGV[forwards_at + n] or ARGV[directs_at + 3 * (n - forwards) - 2]
  if open[to] == nil then
    open[to] = redis.call('EXISTS', P .. 'lease:' .. to) == 1
    if open[to] and not has_room(to, most, tonumber(ARGV[15])) then
      open[to] = false
      crowded = crowded + 1
    end
  end
end
if forwards + directs > 0 and string.byte(message, 6) % 4 > 0 then
  if crowded == 0 and redis.call('EXISTS', P .. 'stop:' .. batch) == 1 then return { -3 } end
  if crowded > 0 then
    redis.call('SET', P .. 'stop:' .. batch, 1, 'EX', 60)
    return { -3 }
  end
end
local passed = nil
if guard == 'i' then
  if not held(me, client, epoch) then return { -1 } end
  local key = P .. 'i:' .. client
  if redis.call('HSETNX', key, id, token) == 0 then passed = redis.call('HGET', key, id) end
elseif guard == 'w' then
  local key = P .. 'w:' .. client .. ':' .. epoch
  if not redis.call('SET', key, token, 'NX', 'EX', 600) then
    passed = redis.call('GET', key)
  else
    if testament(client) ~= epoch then return { -2 } end
    redis.call('HDEL', P .. 'will', client)
    redis.call('ZREM', P .. 'due', client)
  end
elseif guard == 'l' then
  local key = P .. 'l:' .. id
  if not redis.call('SET', key, token, 'NX', 'EX', 600) then
    passed = redis.call('GET', key)
  elseif redis.call('XDEL', P .. 'left', id) == 0 then
    return { -2 }
  end
elseif guard == 'o' then
  if not redis.call('SET', P .. 'o:' .. token, '1', 'NX', 'EX', 600) then passed = token end
end
if passed and passed ~= token then return { -2 } end
if passed then return { 2 } end
local answer = { 0, crowded }
if retain == 's' then
  local before = redis.call('HSTRLEN', P .. 'ret', topic)
  local bytes = tonumber(redis.call('GET', P .. 'retb') or '0')
  local full = before == 0 and redis.call('HLEN', P .. 'ret') >= tonumber(ARGV[12])
  if full or bytes - before + #message > tonumber(ARGV[13]) then
    answer[1] = 1
  else
    redis.call('HSET', P .. 'ret', topic, message)
    redis.call('INCRBY', P .. 'retb', #message - before)
    change('t', 'r', 'm', message, 'o', me)
  end
elseif retain == 'c' then
  local before = redis.call('HSTRLEN', P .. 'ret', topic)
  if before > 0 then
    redis.call('HDEL', P .. 'ret', topic)
    redis.call('DECRBY', P .. 'retb', before)
  end
  change('t', 'r', 'm', message, 'o', me)
end
local at = appends_at + 1
for n = 1, appends do
  local to, how = ARGV[at], ARGV[at + 1]
  at = at + 2
  local key, queue = P .. 's:' .. to, P .. 'q:' .. to
  local s = redis.call('HMGET', key, 'owner', 'bytes', 'woken', 'length')
  local number = -1
  if s[1] and tonumber(s[4] or '0') < tonumber(ARGV[10]) and tonumber(s[2] or '0') < tonumber(ARGV[11]) then
    number = redis.call('HINCRBY', key, 'seq', 1)
    redis.call('HINCRBY', key, 'bytes', #message)
    redis.call('HINCRBY', key, 'length', 1)
    redis.call('XADD', queue, number .. '-0', 'm', message, 'h', how)
    if s[1] ~= '' and s[1] ~= me and s[3] ~= '1' then
      redis.call('HSET', key, 'woken', 1)
      redis.call('XADD', P .. 'in:' .. s[1], '*', 'k', 'w', 'c', to)
    end
  end
  answer[n + 2] = number
end
for n = 1, forwards do
  local to = ARGV[forwards_at + n]
  if open[to] then tell(to, #message, 'k', 'f', 'm', message) end
end
at = directs_at + 1
for _ = 1, directs do
  local to, who, how = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  at = at + 3
  if open[to] then tell(to, #message, 'k', 'f', 'm', message, 'c', who, 'h', how) end
end
return answer
