-- Messages that nothing guards and nobody retains, many in one call: for queues, and packed for other replicas.
-- ARGV: replica, queue messages, queue bytes, inbox entries, batch or nothing, whether they may be lost,
--   sessions, (client)*, forwards, (replica, how many, messages packed)*,
--   appended messages, (message, takers, (which session, how)*)*
-- Answers: status (0, or -3: not done, an inbox has no room), how many messages went past a replica, for each taker its
--   number or -1
local me, most, most_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local room, batch, may_be_lost = tonumber(ARGV[4]), ARGV[5], ARGV[6] == '1'
local sessions = {}
local forwards_at = 8 + tonumber(ARGV[7])
local forwards = tonumber(ARGV[forwards_at])
-- Who listens, and has room: as in publish.lua.
local open, crowded = {}, 0
for n = 1, forwards do
  local at = forwards_at + n * 3 - 2
  local to = ARGV[at]
  open[n] = redis.call('EXISTS', P .. 'lease:' .. to) == 1
  if open[n] and redis.call('XLEN', P .. 'in:' .. to) >= room then
    open[n] = false
    crowded = crowded + tonumber(ARGV[at + 1])
  end
end
if forwards > 0 and not may_be_lost then
  if crowded == 0 and batch ~= '' and redis.call('EXISTS', P .. 'stop:' .. batch) == 1 then crowded = 1 end
  if crowded > 0 then
    if batch ~= '' then redis.call('SET', P .. 'stop:' .. batch, 1, 'EX', 60) end
    return { -3 }
  end
end
local at = 8
for n = 1, tonumber(ARGV[7]) do
  local client = ARGV[at]
  at = at + 1
  local key, queue = P .. 's:' .. client, P .. 'q:' .. client
  local s = redis.call('HMGET', key, 'owner', 'bytes', 'woken', 'seq')
  sessions[n] = {
    client = client, key = key, queue = queue, owner = s[1], bytes = tonumber(s[2] or '0'), woken = s[3],
    seq = tonumber(s[4] or '0'), length = s[1] and redis.call('XLEN', queue) or 0, fresh = {},
  }
end
at = forwards_at + 1 + forwards * 3
local answer = { 0, crowded }
local count = tonumber(ARGV[at])
at = at + 1
for _ = 1, count do
  local message = ARGV[at]
  local takers = tonumber(ARGV[at + 1])
  at = at + 2
  for _ = 1, takers do
    local to, how = sessions[tonumber(ARGV[at])], ARGV[at + 1]
    at = at + 2
    local number = -1
    if to.owner and to.length < most and to.bytes < most_bytes then
      to.seq, to.length, to.bytes = to.seq + 1, to.length + 1, to.bytes + #message
      number = to.seq
      to.fresh[#to.fresh + 1] = { message, how }
    end
    answer[#answer + 1] = number
  end
end
-- The numbers first: whatever fails behind them, none is given twice.
for _, to in ipairs(sessions) do
  to.wakes = #to.fresh > 0 and to.owner ~= '' and to.owner ~= me and to.woken ~= '1'
  if to.wakes then
    redis.call('HSET', to.key, 'seq', to.seq, 'bytes', to.bytes, 'woken', 1)
  elseif #to.fresh > 0 then
    redis.call('HSET', to.key, 'seq', to.seq, 'bytes', to.bytes)
  end
end
for _, to in ipairs(sessions) do
  local number = to.seq - #to.fresh
  for _, entry in ipairs(to.fresh) do
    number = number + 1
    redis.call('XADD', to.queue, number .. '-0', 'm', entry[1], 'h', entry[2])
  end
  if to.wakes then redis.call('XADD', P .. 'in:' .. to.owner, '*', 'k', 'w', 'c', to.client) end
end
for n = 1, forwards do
  local at = forwards_at + n * 3 - 2
  if open[n] then redis.call('XADD', P .. 'in:' .. ARGV[at], '*', 'k', 'p', 'm', ARGV[at + 2]) end
end
return answer
