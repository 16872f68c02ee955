-- Acknowledges, receives and completes messages and frees packet ids, of many sessions in one call.
-- ARGV: replica, (client, epoch, sent, number below which all are over, how many, (acknowledged number)*, how many,
--   (kind, number)*)*; kinds: r received, c complete, f free
-- Reply: for each session its status; fenced: another replica holds it, or the store may have lost writes since the claim
local me, at, answer, gen, freed = ARGV[1], 2, {}, generation(), 0
while at <= #ARGV do
  local client, epoch, sent = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local over = ARGV[at + 3]
  local first = at + 5
  local last = first + tonumber(ARGV[at + 4]) - 1
  local others_at = last + 2
  at = others_at + 2 * tonumber(ARGV[last + 1])
  local key, queue = P .. 's:' .. client, P .. 'q:' .. client
  -- As `is_held`, with the other fields.
  local s = session_fields(key, 'epoch', 'owner', 'bytes', 'sent', 'length', 'gen')
  -- In another generation other messages may have these numbers.
  if s[1] ~= epoch or s[2] ~= me or s[6] ~= gen then
    answer[#answer + 1] = FENCED
  else
    -- Messages are mostly acknowledged in their order: one XTRIM removes any number of them.
    local removed = over ~= '0' and session_call('XTRIM', queue, 'MINID', over) or 0
    for from = first, last, 1000 do
      removed = removed + session_call('XDEL', queue, unpack(ARGV, from, math.min(last, from + 999)))
    end
    for other = others_at, at - 1, 2 do
      local kind, number = ARGV[other], ARGV[other + 1]
      if kind == 'r' then
        removed = removed + session_call('XDEL', queue, number)
        session_call('SADD', P .. 'r:' .. client, number)
      elseif kind == 'c' then
        session_call('SREM', P .. 'r:' .. client, number)
      else
        session_call('HDEL', P .. 'i:' .. client, number)
      end
    end
    local bytes, known, length = tonumber(s[3] or '0'), tonumber(s[4] or '0'), tonumber(s[5] or '0')
    if removed > 0 then
      -- All messages are assumed to have the same size.
      local rest = math.max(length - removed, 0)
      local left = math.floor(bytes * rest / (rest + removed))
      freed, bytes = freed + bytes - left, left
      redis.call('HSET', key, 'bytes', bytes, 'sent', math.max(sent, known), 'length', rest)
    elseif sent > known then
      redis.call('HSET', key, 'sent', sent)
    end
    answer[#answer + 1] = DONE
  end
end
if freed > 0 then redis.call('DECRBY', P .. 'qb', freed) end
return answer
