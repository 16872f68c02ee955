graph [
  Creator "in the manner of the Topology Zoo"
  label "Sample"
  directed 0
  node [
    id 0
    label "K&#246;ln"
    Latitude 50.93
    Longitude 6.96
  ]
  node [ id 1 label Bonn Latitude 50.73 Longitude 7.10 ]
  node [ id 2 label "Aachen" graphics [ x 10.5 y 20 ] ]
  node [ id "3" label "Aachen" ]
  edge [
    source 0
    target 1
    LinkSpeed "2.5"
    LinkSpeedUnits "G"
    id "e1"
  ]
  edge [ source 0 target 1 LinkLabel "STM-16" ]
  edge [ source 1 target 2 bandwidth 1000000 metric 4.0 ]
  edge [ source 2 target 3 capacity "1 GB/s" delay "2.5 ms" ]
]
